//! Renders the checked form of a template.

use std::{borrow::Cow, cmp::Ordering};

use crate::rules::template::{
    Fields, TemplateError,
    ast::{Comparison, Expr, FormatPart, Function, Node, Pipeline, Range},
    value::Value,
};

/// No text that a template makes is longer.
const MAX_TEXT: usize = 4 * 1024 * 1024;

type Result<T> = std::result::Result<T, TemplateError>;

struct Renderer<'a> {
    fields: Fields<'a>,
    slots: Vec<Value<'a>>,
    dot: Value<'a>,
    out: String,
}

pub(super) fn render<'a>(nodes: &'a [Node], slots: usize, fields: Fields<'a>) -> Result<String> {
    let slots = vec![Value::Missing; slots];
    let mut renderer = Renderer { fields, slots, dot: Value::Data, out: String::new() };
    renderer.nodes(nodes)?;
    Ok(renderer.out)
}

fn bounded(text: String) -> Result<String> {
    if text.len() > MAX_TEXT {
        return Err(TemplateError::new(format!("a template makes more than {MAX_TEXT} bytes")));
    }
    Ok(text)
}

impl<'a> Renderer<'a> {
    fn nodes(&mut self, nodes: &'a [Node]) -> Result<()> {
        for node in nodes {
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Print(expr) => match self.value(expr)? {
                    Value::Missing => self.out.push_str("<no value>"),
                    value => self.out.push_str(&value.to_string()),
                },
                Node::Set(slot, expr) => {
                    let value = self.value(expr)?;
                    self.set(Some(*slot), value);
                }
                Node::If(pipeline, then, otherwise) => {
                    let holds = self.pipeline(pipeline)?.is_true();
                    self.nodes(if holds { then } else { otherwise })?;
                }
                Node::With(pipeline, then, otherwise) => {
                    let value = self.pipeline(pipeline)?;
                    if value.is_true() {
                        self.with_dot(value, then)?;
                    } else {
                        self.nodes(otherwise)?;
                    }
                }
                Node::Range(range) => self.range(range)?,
            }
            if self.out.len() > MAX_TEXT {
                return bounded(std::mem::take(&mut self.out)).map(drop);
            }
        }
        Ok(())
    }

    fn with_dot(&mut self, dot: Value<'a>, nodes: &'a [Node]) -> Result<()> {
        let outer = std::mem::replace(&mut self.dot, dot);
        let rendered = self.nodes(nodes);
        self.dot = outer;
        rendered
    }

    fn set(&mut self, slot: Option<usize>, value: Value<'a>) {
        if let Some(slot) = slot.and_then(|slot| self.slots.get_mut(slot)) {
            *slot = value;
        }
    }

    fn pipeline(&mut self, pipeline: &'a Pipeline) -> Result<Value<'a>> {
        let value = self.value(&pipeline.value)?;
        self.set(pipeline.variable, value.clone());
        Ok(value)
    }

    fn range(&mut self, range: &'a Range) -> Result<()> {
        let pairs: Vec<(Value<'a>, &'a str)> = match self.value(&range.over)? {
            Value::List(list) => (0..).map(Value::Number).zip(list.iter().map(String::as_str)).collect(),
            Value::Map(map) => {
                map.iter().map(|(key, value)| (Value::Text(Cow::Borrowed(key)), value.as_str())).collect()
            }
            _ => return Err(TemplateError::new("range goes over lists and maps only")),
        };
        if pairs.is_empty() {
            return self.nodes(&range.otherwise);
        }
        for (key, value) in pairs {
            let value = Value::Text(Cow::Borrowed(value));
            self.set(range.key, key);
            self.set(range.value, value.clone());
            self.with_dot(value, &range.body)?;
        }
        Ok(())
    }

    fn value(&self, expr: &'a Expr) -> Result<Value<'a>> {
        Ok(match expr {
            Expr::Text(text) => Value::Text(Cow::Borrowed(text)),
            Expr::Number(number) => Value::Number(*number),
            Expr::Bool(bool) => Value::Bool(*bool),
            Expr::Dot => self.dot.clone(),
            Expr::Root => Value::Data,
            Expr::Variable(slot) => self.slots.get(*slot).cloned().unwrap_or(Value::Missing),
            Expr::Field(place) => self.fields.get(*place).cloned().unwrap_or(Value::Missing),
            Expr::Entry(map, key) => match self.value(map)? {
                Value::Map(map) => map.get(key).map_or(Value::Missing, |text| Value::Text(text.into())),
                _ => Value::Missing,
            },
            Expr::Call(function, args) => self.call(*function, args)?,
            Expr::Format(parts, args) => Value::Text(self.format(parts, args)?.into()),
        })
    }

    fn call(&self, function: Function, args: &'a [Expr]) -> Result<Value<'a>> {
        match function {
            Function::And => return self.first(args, false),
            Function::Or => return self.first(args, true),
            _ => {}
        }
        let values = args.iter().map(|arg| self.value(arg)).collect::<Result<Vec<_>>>()?;
        Ok(match (function, values.as_slice()) {
            (Function::Not, [value]) => Value::Bool(!value.is_true()),
            (Function::Len, [value]) => length(value)?,
            (Function::Index, [first, indexes @ ..]) => {
                let mut value = first.clone();
                for at in indexes {
                    value = index(&value, at)?;
                }
                value
            }
            (Function::Print, values) => Value::Text(print(values)?.into()),
            (Function::Println, values) => {
                let words: Vec<_> = values.iter().map(Value::to_string).collect();
                Value::Text(bounded(words.join(" ") + "\n")?.into())
            }
            (Function::Compare(comparison), [first, others @ ..]) => {
                Value::Bool(others.iter().any(|other| compares(comparison, first, other)))
            }
            _ => return Err(TemplateError::new("wrong number of arguments")),
        })
    }

    /// Returns the first argument whose truth is `wanted`, else the last one; later ones are not computed.
    fn first(&self, args: &'a [Expr], wanted: bool) -> Result<Value<'a>> {
        let mut last = Value::Missing;
        for arg in args {
            last = self.value(arg)?;
            if last.is_true() == wanted {
                break;
            }
        }
        Ok(last)
    }

    fn format(&self, parts: &'a [FormatPart], args: &'a [Expr]) -> Result<String> {
        let mut text = String::new();
        let mut args = args.iter();
        for part in parts {
            match part {
                FormatPart::Text(plain) => text.push_str(plain),
                FormatPart::Verb(letter) => {
                    let Some(arg) = args.next() else { continue };
                    let printed = match (letter, self.value(arg)?) {
                        ('s' | 'q', Value::Missing) => format!("%!{letter}(<nil>)"),
                        ('q', value) => value.quoted(),
                        (_, value) => value.to_string(),
                    };
                    text.push_str(&printed);
                }
            }
            if text.len() > MAX_TEXT {
                break;
            }
        }
        bounded(text)
    }
}

fn length(value: &Value<'_>) -> Result<Value<'static>> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::Map(map) => map.len(),
        Value::List(list) => list.len(),
        other => return Err(TemplateError::new(format!("{other} has no length"))),
    };
    Ok(Value::Number(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index<'a>(value: &Value<'a>, at: &Value<'a>) -> Result<Value<'a>> {
    let place = match at {
        Value::Number(number) => usize::try_from(*number).ok(),
        _ => None,
    };
    let found = match (value, at) {
        (Value::Map(map), Value::Text(key)) => {
            Some(Value::Text(map.get(key.as_ref()).map_or("", String::as_str).into()))
        }
        (Value::List(list), _) => {
            place.and_then(|place| list.get(place)).map(|text| Value::Text(text.as_str().into()))
        }
        (Value::Text(text), _) => {
            let byte = place.and_then(|place| text.as_bytes().get(place));
            byte.map(|byte| Value::Number(i64::from(*byte)))
        }
        _ => None,
    };
    found.ok_or_else(|| TemplateError::new(format!("index out of range: {at}")))
}

/// `print`: spaces only between operands neither of which is a string.
fn print(values: &[Value<'_>]) -> Result<String> {
    let mut text = String::new();
    let mut after_text = true;
    for value in values {
        if !after_text && !value.is_text() {
            text.push(' ');
        }
        after_text = value.is_text();
        text.push_str(&value.to_string());
        if text.len() > MAX_TEXT {
            break;
        }
    }
    bounded(text)
}

fn compares(comparison: Comparison, first: &Value<'_>, other: &Value<'_>) -> bool {
    let order = first.order(other);
    match comparison {
        Comparison::Eq => first == other,
        Comparison::Ne => first != other,
        Comparison::Lt => order == Some(Ordering::Less),
        Comparison::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Gt => order == Some(Ordering::Greater),
        Comparison::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}
