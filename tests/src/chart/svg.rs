//! [`Svg`]: writes the few elements a chart needs.

use std::fmt::Write;

const FONT: &str = "Inter, 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif";

/// A picture being written.
pub(super) struct Svg {
    text: String,
}

/// Which end of a text its place names.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

type Place = (f64, f64);

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{FONT}\">\n\
             <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n"
        );
        Self { text }
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    pub(super) fn text(
        &mut self,
        (x, y): Place,
        anchor: Anchor,
        size: f64,
        color: &str,
        content: &str,
        bold: bool,
    ) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if bold { " font-weight=\"600\"" } else { "" };
        let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(
            self.text,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\"{weight} fill=\"{color}\">{content}</text>"
        );
    }

    pub(super) fn line(&mut self, from: Place, to: Place, color: &str, width: f64, dashes: Option<&str>) {
        let dashes = dashes.map_or_else(String::new, |dashes| format!(" stroke-dasharray=\"{dashes}\""));
        let _ = writeln!(
            self.text,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{color}\" stroke-width=\"{width}\"{dashes}/>",
            from.0, from.1, to.0, to.1
        );
    }

    pub(super) fn stroke(&mut self, path: &str, color: &str, width: f64) {
        let _ = writeln!(
            self.text,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"/>"
        );
    }

    pub(super) fn fill(&mut self, path: &str, color: &str) {
        let _ = writeln!(self.text, "<path d=\"{path}\" fill=\"{color}\" fill-opacity=\"0.22\"/>");
    }

    /// Hides what was drawn there.
    pub(super) fn cover(&mut self, path: &str) {
        let _ = writeln!(self.text, "<path d=\"{path}\" fill=\"#ffffff\"/>");
    }

    pub(super) fn swatch(&mut self, (x, y): Place, (width, height): (f64, f64), color: &str) {
        let _ = writeln!(
            self.text,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width}\" height=\"{height}\" rx=\"2\" fill=\"{color}\" \
             fill-opacity=\"0.22\" stroke=\"{color}\"/>"
        );
    }
}

/// Returns roughly how wide a text comes out; fonts differ.
pub(super) fn text_width(content: &str, size: f64) -> f64 {
    let chars = u32::try_from(content.chars().count()).unwrap_or(u32::MAX);
    f64::from(chars) * size * 0.56
}
