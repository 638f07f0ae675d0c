//! The checked form of a template: what the parser makes and the renderer walks.

/// A piece of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Text as it stands.
    Text(String),
    /// A value to print.
    Print(Expr),
    /// `$x := value` or `$x = value`
    Set(usize, Expr),
    /// `if`: the condition (with a variable to set, if any), then, else
    If(Pipeline, Vec<Node>, Vec<Node>),
    /// `with`: as `if`, and the value becomes the dot.
    With(Pipeline, Vec<Node>, Vec<Node>),
    /// `range`
    Range(Range),
}

/// A value, kept in a variable as well if the action names one.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub variable: Option<usize>,
    pub value: Expr,
}

/// A loop over a list or a map.
#[derive(Clone, Debug)]
pub(super) struct Range {
    pub over: Expr,
    pub key: Option<usize>,
    pub value: Option<usize>,
    pub body: Vec<Node>,
    pub otherwise: Vec<Node>,
}

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    Text(String),
    Number(i64),
    Bool(bool),
    /// The current value of `.`
    Dot,
    /// `$`
    Root,
    Variable(usize),
    /// A field of the template's data, by its place in the schema.
    Field(usize),
    /// An entry of a map read as a field.
    Entry(Box<Expr>, String),
    Call(Function, Vec<Expr>),
    /// `printf`, its format parsed.
    Format(Vec<FormatPart>, Vec<Expr>),
}

/// A part of a `printf` format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FormatPart {
    Text(String),
    /// A verb: `%q` quotes the next argument, all others print its plain form.
    Verb(char),
}

/// The functions of templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Or,
    Not,
    Len,
    Index,
    Print,
    Println,
    Compare(Comparison),
}

/// `eq` and its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Node {
    pub(super) fn reads(&self, field: usize) -> bool {
        let any = |nodes: &[Self]| nodes.iter().any(|node| node.reads(field));
        match self {
            Self::Text(_) => false,
            Self::Print(expr) | Self::Set(_, expr) => expr.reads(field),
            Self::If(pipeline, then, otherwise) | Self::With(pipeline, then, otherwise) => {
                pipeline.value.reads(field) || any(then) || any(otherwise)
            }
            Self::Range(range) => range.over.reads(field) || any(&range.body) || any(&range.otherwise),
        }
    }
}

impl Expr {
    pub(super) fn reads(&self, field: usize) -> bool {
        match self {
            Self::Field(read) => *read == field,
            Self::Entry(map, _) => map.reads(field),
            Self::Call(_, args) | Self::Format(_, args) => args.iter().any(|arg| arg.reads(field)),
            _ => false,
        }
    }

    /// A field, an entry of a map, or a literal.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Self::Text(_) | Self::Number(_) | Self::Field(_) => true,
            Self::Entry(map, _) => map.is_plain(),
            Self::Call(Function::Index, args) => args.iter().all(Self::is_plain),
            _ => false,
        }
    }
}
