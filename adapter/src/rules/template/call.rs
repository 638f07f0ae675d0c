//! The functions of templates: which arguments they take and what they return.

use crate::rules::template::{
    TemplateError,
    ast::{Comparison, Expr, FormatPart, Function},
    parser::refuse,
    value::Type,
};

/// An expression with its type.
pub(super) type Typed = (Expr, Type);
type Result<T> = std::result::Result<T, TemplateError>;

/// Checks a call and returns it with its type.
pub(super) fn call(name: &str, args: Vec<Typed>) -> Result<Typed> {
    let types: Vec<Type> = args.iter().map(|(_, kind)| *kind).collect();
    if name == "printf" {
        return format(args);
    }
    if !matches!(name, "and" | "or" | "not") && types.contains(&Type::Mixed) {
        return refuse(format!("the type of an argument of {name} is not certain"));
    }
    let (function, kind) = match name {
        "and" => (Function::And, joined(name, &types)?),
        "or" => (Function::Or, joined(name, &types)?),
        "not" => {
            count(name, &types, 1, 1)?;
            (Function::Not, Type::Bool)
        }
        "len" => {
            count(name, &types, 1, 1)?;
            if !matches!(types[0], Type::Text | Type::Map | Type::List) {
                return refuse(format!("len of {} does not exist", types[0]));
            }
            (Function::Len, Type::Number)
        }
        "index" => (Function::Index, indexed(&types)?),
        "print" | "println" => {
            if types.contains(&Type::Data) {
                return refuse("the template's data as a whole cannot be printed");
            }
            (if name == "print" { Function::Print } else { Function::Println }, Type::Text)
        }
        "eq" => comparison(Comparison::Eq, name, &types)?,
        "ne" => comparison(Comparison::Ne, name, &types)?,
        "lt" => comparison(Comparison::Lt, name, &types)?,
        "le" => comparison(Comparison::Le, name, &types)?,
        "gt" => comparison(Comparison::Gt, name, &types)?,
        "ge" => comparison(Comparison::Ge, name, &types)?,
        "break" | "continue" | "define" | "block" | "template" | "if" | "else" | "end" | "range" | "with" => {
            return refuse(format!("unexpected {name:?}"));
        }
        _ => return refuse(format!("function {name:?} does not exist or is not supported")),
    };
    Ok((Expr::Call(function, args.into_iter().map(|(expr, _)| expr).collect()), kind))
}

fn count(name: &str, types: &[Type], least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&types.len()) {
        return Ok(());
    }
    refuse(format!("wrong number of arguments for {name}: {}", types.len()))
}

/// The type of `and` and `or`, which return one of their arguments.
fn joined(name: &str, types: &[Type]) -> Result<Type> {
    count(name, types, 1, usize::MAX)?;
    if types.contains(&Type::Data) {
        return refuse(format!("{name} of the template's data as a whole is not supported"));
    }
    Ok(if types.iter().all(|kind| *kind == types[0]) { types[0] } else { Type::Mixed })
}

fn indexed(types: &[Type]) -> Result<Type> {
    let Some((first, indexes)) = types.split_first() else {
        return refuse("wrong number of arguments for index: 0");
    };
    let mut kind = *first;
    for index in indexes {
        kind = match (kind, index) {
            (Type::Map, Type::Text) | (Type::List, Type::Number) => Type::Text,
            (Type::Text, Type::Number) => Type::Number,
            (kind, index) => return refuse(format!("cannot index {kind} by {index}")),
        };
    }
    Ok(kind)
}

fn comparison(comparison: Comparison, name: &str, types: &[Type]) -> Result<(Function, Type)> {
    let most = if comparison == Comparison::Eq { usize::MAX } else { 2 };
    count(name, types, 2, most)?;
    let orders = !matches!(comparison, Comparison::Eq | Comparison::Ne);
    // A missing entry can be compared for equality, with strings.
    let basic = |kind: Type| match kind {
        Type::Text => Some(Type::Text),
        Type::MaybeText if !orders => Some(Type::Text),
        Type::Number => Some(Type::Number),
        Type::Bool if !orders => Some(Type::Bool),
        _ => None,
    };
    let first = basic(types[0]);
    if first.is_none() || types.iter().any(|kind| basic(*kind) != first) {
        let shown: Vec<_> = types.iter().map(Type::to_string).collect();
        return refuse(format!("{name} cannot compare {}", shown.join(" with ")));
    }
    Ok((Function::Compare(comparison), Type::Bool))
}

/// `printf`: the format must be a literal, so that it can be checked.
fn format(args: Vec<Typed>) -> Result<Typed> {
    let mut args = args.into_iter();
    let Some((Expr::Text(text), _)) = args.next() else {
        return refuse("printf needs a literal format as its first argument");
    };
    let (exprs, types): (Vec<Expr>, Vec<Type>) = args.unzip();
    let mut types = types.into_iter();
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    while let Some((plain, verb)) = rest.split_once('%') {
        push_text(&mut parts, plain);
        let Some(letter) = verb.chars().next() else { return refuse("printf format ends in %") };
        rest = &verb[letter.len_utf8()..];
        if letter == '%' {
            push_text(&mut parts, "%");
            continue;
        }
        let Some(kind) = types.next() else {
            return refuse(format!("printf has no argument for %{letter}"));
        };
        match (letter, kind) {
            ('v', Type::Text | Type::MaybeText | Type::Number | Type::Bool | Type::Map | Type::List)
            | ('s' | 'q', Type::Text | Type::MaybeText | Type::Map | Type::List)
            | ('d', Type::Number)
            | ('t', Type::Bool) => parts.push(FormatPart::Verb(letter)),
            ('v' | 's' | 'd' | 't' | 'q', kind) => {
                return refuse(format!("printf %{letter} cannot print {kind}"));
            }
            _ => return refuse(format!("printf %{letter} is not supported; use %s, %q, %d, %t or %v")),
        }
    }
    push_text(&mut parts, rest);
    if types.next().is_some() {
        return refuse("printf has more arguments than its format");
    }
    Ok((Expr::Format(parts, exprs), Type::Text))
}

fn push_text(parts: &mut Vec<FormatPart>, text: &str) {
    if !text.is_empty() {
        parts.push(FormatPart::Text(text.to_owned()));
    }
}
