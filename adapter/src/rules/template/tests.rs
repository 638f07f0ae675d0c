//! Tests of templates: what Go prints, and what is refused.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Schema, Template, Type, Value};

const SCHEMA: Schema = &[("S", Type::Text), ("E", Type::Text), ("M", Type::Map), ("L", Type::List)];

fn render(text: &str) -> Result<String, String> {
    let map: BTreeMap<String, String> =
        [("a", "b"), ("c", "d\"e"), ("empty", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let list = ["x".to_owned(), "y\"z".to_owned()];
    let template = Template::parse(text, SCHEMA).map_err(|error| error.to_string())?;
    let fields = [Value::Text("series".into()), Value::Text("".into()), Value::Map(&map), Value::List(&list)];
    template.render(&fields).map_err(|error| format!("render: {error}"))
}

#[test]
fn prints_what_go_prints() {
    for (text, want) in [
        ("", ""),
        ("plain > text < 2", "plain > text < 2"),
        ("<<.S>>{<<.E>>}", "series{}"),
        ("<<.M>> <<.L>>", "map[a:b c:d\"e empty:] [x y\"z]"),
        ("<<$.S>>/<<with .L>><<$.S>><<.>><<end>>", "series/series[x y\"z]"),
        ("<<index .M \"a\">>,<<index .M \"zz\">>,<<.M.a>>,<<.M.zz>>", "b,,b,<no value>"),
        ("<<index .L 1>> <<index .S 0>> <<index .M `a` 0>>", "y\"z 115 98"),
        ("<<index .S>>", "series"),
        ("<<if .S>>t<<else>>f<<end>> <<if .E>>t<<else>>f<<end>>", "t f"),
        ("<<if .E>>1<<else if .S>>2<<else>>3<<end>>", "2"),
        ("<<if .E>>1<<else if .E>>2<<else>>3<<end>>!", "3!"),
        ("<<if .M.zz>>t<<else>>f<<end>><<if 0>>t<<end>><<if false>>t<<end>><<if not false>>n<<end>>", "fn"),
        ("<<range .L>>(<<.>>)<<end>>", "(x)(y\"z)"),
        ("<<range $v := .L>><<$v>>;<<end>>", "x;y\"z;"),
        ("<<range $i, $v := .L>><<if $i>>,<<end>><<$i>>=<<$v>><<end>>", "0=x,1=y\"z"),
        ("<<range $k, $v := .M>><<$k>>=<<$v>>;<<end>>", "a=b;c=d\"e;empty=;"),
        ("<<range $i,$v := .L>><<$i>><<else>>none<<end>>", "01"),
        ("<<with .E>>w<<else>>none<<end>>", "none"),
        ("<<with $x := .S>><<$x>><<.>><<end>>", "seriesseries"),
        ("<<$x := .S>><<$x>><<$x = \"n\">><<$x>>", "seriesn"),
        ("<<$x := \"a\">><<if true>><<$x = \"b\">><<end>><<$x>>", "b"),
        ("<<$x := \"a\">><<if true>><<$x := \"b\">><<$x>><<end>><<$x>>", "ba"),
        ("<<$k := \"\">><<$v := \"\">><<range $k, $v = .M>><<end>><<$k>>", "empty"),
        ("<<eq .S \"series\">> <<eq .S \"a\" \"series\">> <<ne .S \"a\">>", "true true true"),
        ("<<lt 1 2>> <<le 2 2>> <<gt \"a\" \"b\">> <<ge \"b\" \"a\">>", "true true false true"),
        ("<<eq .M.zz \"\">> <<eq .M.a \"b\">> <<ne .M.zz \"x\">>", "false true true"),
        ("<<and .S .L>> <<and .E .S>>| <<or .E .S>> <<or .E>>|", "[x y\"z] | series |"),
        ("<<and true 0>> <<or false 3>> <<not .E>> <<len .S>> <<len .M>> <<len .L>>", "0 3 true 6 3 2"),
        ("<<or .S (index .L 99)>>", "series"),
        ("<<print 1 2 \"a\" 3 true .L>>", "1 2a3 true [x y\"z]"),
        ("<<print 1 2>>|<<println \"a\" 1 .M>>|", "1 2|a 1 map[a:b c:d\"e empty:]\n|"),
        ("<<print>><<print .M.zz>>", "<nil>"),
        ("<<printf \"%s=%q %d%% %v %t\" .S .S 5 .L true>>", "series=\"series\" 5% [x y\"z] true"),
        ("<<printf \"%q %q\" .L .M>>", "[\"x\" \"y\\\"z\"] map[\"a\":\"b\" \"c\":\"d\\\"e\" \"empty\":\"\"]"),
        ("<<printf \"%s %v %q\" .M.a .M.zz .M.zz>>", "b <nil> %!q(<nil>)"),
        ("<<.S | printf \"%s-%s\" .E>>|<<.L | len | printf \"%d\">>", "-series|2"),
        ("<<(index .M \"a\") | printf \"%q\">> <<len (print .S .S)>>", "\"b\" 12"),
        ("<<($.M).a>>", "b"),
        ("a <</* comment */>> b <<- /* c */ ->> c", "a  bc"),
        ("a  <<- .S ->>  b\n\n<<- .S>>", "aseriesbseries"),
        ("<<- 3>> <<-3>>", "3 -3"),
        ("<<\n.S\n|\nprint\n>>", "series"),
        ("<<\"q\\\"\\n\\x41\\u00e9\" >><<`raw\\n`>>", "q\"\nAéraw\\n"),
        ("<<true>><<12>><<+4>>", "true124"),
        ("<<(.S)>> <<((1))>>", "series 1"),
    ] {
        assert_eq!(render(text), Ok(want.to_owned()), "{text}");
    }
}

#[test]
fn everything_else_is_refused_when_parsed() {
    for text in [
        "<<.Nope>>",
        "<<.S.x>>",
        "<<(print).S>>",
        "<<.L.x>>",
        "<<.>>",
        "<<$>>",
        "<<print .>>",
        "<<or .E $>>",
        "<<>>",
        "<<if>>x<<end>>",
        "<<if .S>>",
        "<<end>>",
        "<<else>>",
        "<<if .S>>a<<else>>b<<else>>c<<end>>",
        "<<range .S>><<end>>",
        "<<range 3>><<end>>",
        "<<range $a, $b, $c := .L>><<end>>",
        "<<range $a .L>><<end>>",
        "<<with .S>>a<<else if .S>>b<<end>>",
        "<<$x>>",
        "<<$x = 1>>",
        "<<$x := 1>><<$x = \"a\">>",
        "<<if true>><<$x := 1>><<else>><<$x>><<end>>",
        "<<if $x := .S>><<end>><<$x>>",
        "<<nope .S>>",
        "<<slice .S 1>>",
        "<<html .S>>",
        "<<call .S>>",
        "<<define \"x\">><<end>>",
        "<<template \"x\">>",
        "<<block \"x\" .>><<end>>",
        "<<range .L>><<break>><<end>>",
        "<<nil>>",
        "<<eq .S nil>>",
        "<<eq .S>>",
        "<<eq .S 1>>",
        "<<eq .L .L>>",
        "<<lt true false>>",
        "<<lt .M.a \"x\">>",
        "<<ne 1 2 3>>",
        "<<not>>",
        "<<and>>",
        "<<len 3>>",
        "<<len .M.a>>",
        "<<index>>",
        "<<index .M 1>>",
        "<<index .L \"a\">>",
        "<<index 3 1>>",
        "<<eq (or .S .L) \"a\">>",
        "<<printf>>",
        "<<printf .S>>",
        "<<printf \"%d\" .S>>",
        "<<printf \"%s\" 1>>",
        "<<printf \"%s\">>",
        "<<printf \"%s\" .S .S>>",
        "<<printf \"%5d\" 1>>",
        "<<printf \"%\" 1>>",
        "<<printf \"%x\" .S>>",
        "<<.S .S>>",
        "<<\"a\" .S>>",
        "<<.S | .S>>",
        "<<.S | \"a\">>",
        "<<.S |>>",
        "<<| .S>>",
        "<<print\"a\">>",
        "<<print(.S)>>",
        "<<(.S>>",
        "<<.S)>>",
        "<<()>>",
        "<<print ($x := 1)>>",
        "<<\"a\".S>>",
        "<<$x, $y := .L>>",
        "<<1,2>>",
        "<<.S",
        "<<- .S",
        "<<if .S>>a<<end .S>>",
    ] {
        let error = render(text).expect_err(text);
        assert!(!error.starts_with("render"), "{text}: refused only when rendered: {error}");
    }
}

#[test]
fn an_index_beyond_the_list_fails_when_rendered() {
    assert_eq!(render("<<index .L 9>>"), Err("render: index out of range: 9".to_owned()));
    assert!(render("<<index .L -1>>").is_err());
}

#[test]
fn deep_nesting_and_doubling_are_bounded() {
    assert!(render(&format!("<<{}1{}>>", "(".repeat(1000), ")".repeat(1000))).is_err());
    assert!(render(&"<<if .S>>".repeat(1000)).is_err());
    assert!(render(&("<<if .E>>".to_owned() + &"<<else if .E>>".repeat(500) + "<<end>>")).is_err());
    let doubling = "<<$x := \"0123456789\">>".to_owned() + &"<<$x = print $x $x>>".repeat(60);
    assert!(render(&doubling).is_err());
}

#[test]
fn a_plain_template_has_no_conditions() {
    for (text, plain) in [
        ("sum(<<.S>>{<<.E>>}) by (<<.L>>)", true),
        ("<<index .M \"a\">> <<.M.a>>", true),
        ("<<if .S>>a<<end>>", false),
        ("<<$x := .S>>", false),
        ("<<.S | print>>", false),
    ] {
        let template = Template::parse(text, SCHEMA).expect(text);
        assert_eq!(template.is_plain(), plain, "{text}");
    }
    let template = Template::parse("<<if .S>><<range .L>><<len $.E>><<end>><<end>>", SCHEMA).expect("parses");
    assert_eq!([0, 1, 2, 3].map(|field| template.reads(field)), [true, true, false, true]);
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC{0,60}") {
        let _ = render(&text);
    }

    #[test]
    fn never_panics_on_its_own_words(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "<<", ">>", "<<- ", " ->>", ".S", ".L", ".M", ".", "$x", "$", ":=", "=", "|", " ", "(", ")", ",",
                "if", "else", "end", "range", "with", "print", "printf", "index", "eq", "and", "not", "len", "\"%s\"",
                "\"a\"", "1", "true", "/*", "*/", "text", "é", "`", "\\",
            ]),
            0..40,
        )
    ) {
        let _ = render(&words.concat());
    }
}
