//! [`Chart`]: panels over one time axis, written as SVG. Knows nothing of fleets or policies; [`run`] does.

mod axis;
pub mod run;
mod svg;

use std::fmt::Write;

use axis::Axis;
use svg::{Anchor, Svg};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 66.0;
const TOP: f64 = 100.0;
const PANEL: f64 = 150.0;
const GAP: f64 = 52.0;
const BOTTOM: f64 = 58.0;

const INK: &str = "#1f2933";
const FAINT: &str = "#66717c";
const GRID: &str = "#e4e7eb";
const GANG: &str = "#c3cbd3";

/// A picture of several panels, one below the other.
#[derive(Clone, Debug)]
pub struct Chart {
    /// First line.
    pub title: String,
    /// Second line: what was run.
    pub subtitle: String,
    /// What the time axis counts.
    pub time_label: String,
    /// The panels, from the top.
    pub panels: Vec<Panel>,
}

/// One diagram of a chart; its values start at 0.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// What the left axis shows, with its unit.
    pub label: String,
    /// What the right axis shows, with its unit; absent when no series uses it.
    pub right_label: Option<String>,
    /// Draw a line at every multiple of this many, and let the left axis count in it: the gang's size.
    pub multiple: Option<u32>,
    /// What is drawn, first below.
    pub series: Vec<Series>,
    /// Constant lines.
    pub guides: Vec<Guide>,
}

/// One quantity over time.
#[derive(Clone, Debug)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Colour, as CSS writes it.
    pub color: &'static str,
    /// How it is drawn.
    pub style: Style,
    /// Which axis it counts on.
    pub side: Side,
    /// Time and value, times ascending.
    pub points: Vec<(f64, f64)>,
}

/// A constant line, such as a target.
#[derive(Clone, Debug)]
pub struct Guide {
    /// Name in the legend.
    pub name: String,
    /// Colour, as CSS writes it.
    pub color: &'static str,
    /// Which axis it counts on.
    pub side: Side,
    /// Where it lies.
    pub value: f64,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line from point to point.
    Line,
    /// The same, filled down to 0.
    Area,
    /// Each value holds until the next point; filled down to 0.
    StepArea,
    /// The same, and what lies below is hidden: for the lower part of a sum that was drawn before.
    StepCover,
    /// Each value holds until the next point.
    Step,
}

/// Which axis values count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The left one.
    Left,
    /// The right one.
    Right,
}

impl Chart {
    /// Returns the picture as SVG text.
    pub fn to_svg(&self) -> String {
        let panels = f64::from(u32::try_from(self.panels.len()).unwrap_or(u32::MAX));
        let height = TOP + panels * PANEL + (panels - 1.0).max(0.0) * GAP + BOTTOM;
        let mut svg = Svg::new(WIDTH, height);
        svg.text((LEFT - 48.0, 32.0), Anchor::Start, 18.0, INK, &self.title, true);
        svg.text((LEFT - 48.0, 53.0), Anchor::Start, 12.0, FAINT, &self.subtitle, false);
        let points = self.panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
        let end = points.map(|(time, _)| *time).fold(0.0, f64::max);
        let mut top = TOP;
        for panel in &self.panels {
            let time = Axis::exact(end, LEFT, WIDTH - RIGHT);
            panel.draw(&mut svg, top, &time);
            top += PANEL + GAP;
        }
        let time = Axis::exact(end, LEFT, WIDTH - RIGHT);
        let bottom = top - GAP;
        for tick in time.ticks() {
            svg.text((time.place(tick), bottom + 18.0), Anchor::Middle, 11.0, FAINT, &number(tick), false);
        }
        let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
        svg.text((middle, bottom + 40.0), Anchor::Middle, 12.0, FAINT, &self.time_label, false);
        svg.finish()
    }
}

impl Panel {
    fn highest(&self, side: Side) -> f64 {
        let series = self.series.iter().filter(|series| series.side == side);
        let values = series.flat_map(|series| series.points.iter().map(|(_, value)| *value));
        let guides = self.guides.iter().filter(|guide| guide.side == side).map(|guide| guide.value);
        values.chain(guides).filter(|value| value.is_finite()).fold(0.0, f64::max)
    }

    fn draw(&self, svg: &mut Svg, top: f64, time: &Axis) {
        let bottom = top + PANEL;
        let left = match self.multiple {
            Some(multiple) => Axis::multiples(self.highest(Side::Left), multiple, bottom, top),
            None => Axis::rounded(self.highest(Side::Left), bottom, top),
        };
        let right = Axis::rounded(self.highest(Side::Right), bottom, top);
        let grid = if self.multiple.is_some() { GANG } else { GRID };
        for tick in left.lines() {
            let dashes = self.multiple.map(|_| "2 3");
            svg.line((LEFT, left.place(tick)), (WIDTH - RIGHT, left.place(tick)), grid, 1.0, dashes);
        }
        for tick in time.ticks() {
            svg.line((time.place(tick), top), (time.place(tick), bottom), GRID, 1.0, None);
        }
        for series in &self.series {
            series.draw(svg, time, if series.side == Side::Left { &left } else { &right });
        }
        for guide in &self.guides {
            let axis = if guide.side == Side::Left { &left } else { &right };
            let height = axis.place(guide.value);
            svg.line((LEFT, height), (WIDTH - RIGHT, height), guide.color, 1.5, Some("6 4"));
        }
        svg.line((LEFT, bottom), (WIDTH - RIGHT, bottom), FAINT, 1.0, None);
        for tick in left.ticks() {
            let at = (LEFT - 8.0, left.place(tick) + 4.0);
            svg.text(at, Anchor::End, 11.0, FAINT, &number(tick), false);
        }
        if self.right_label.is_some() {
            for tick in right.ticks() {
                let at = (WIDTH - RIGHT + 8.0, right.place(tick) + 4.0);
                svg.text(at, Anchor::Start, 11.0, FAINT, &number(tick), false);
            }
        }
        self.head(svg, top - 12.0);
    }

    /// The axes' labels with the legend between them.
    fn head(&self, svg: &mut Svg, at: f64) {
        svg.text((LEFT - 48.0, at), Anchor::Start, 12.0, INK, &self.label, true);
        let mut right = WIDTH - RIGHT;
        if let Some(label) = &self.right_label {
            svg.text((WIDTH - 18.0, at), Anchor::End, 12.0, INK, label, true);
            right = WIDTH - 18.0 - svg::text_width(label, 12.0) - 26.0;
        }
        let guides = self.guides.iter().map(|guide| (guide.name.as_str(), guide.color, None));
        let series =
            self.series.iter().map(|series| (series.name.as_str(), series.color, Some(series.style)));
        let entries: Vec<_> = series.chain(guides).collect();
        for (name, color, style) in entries.into_iter().rev() {
            let start = right - svg::text_width(name, 11.0);
            svg.text((start, at), Anchor::Start, 11.0, FAINT, name, false);
            let key = start - 26.0;
            match style {
                Some(Style::Area | Style::StepArea | Style::StepCover) => {
                    svg.swatch((key, at - 9.0), (20.0, 10.0), color);
                }
                Some(Style::Line | Style::Step) => {
                    svg.line((key, at - 4.0), (key + 20.0, at - 4.0), color, 2.0, None);
                }
                None => svg.line((key, at - 4.0), (key + 20.0, at - 4.0), color, 1.5, Some("6 4")),
            }
            right = key - 18.0;
        }
    }
}

impl Series {
    fn draw(&self, svg: &mut Svg, time: &Axis, values: &Axis) {
        let mut outline = String::new();
        let mut before: Option<f64> = None;
        let finite = self.points.iter().filter(|(_, value)| value.is_finite());
        for (at, value) in finite {
            let (x, y) = (time.place(*at), values.place(*value));
            let _ = match before {
                None => write!(outline, "M{x:.1} {y:.1}"),
                Some(last) if self.style.holds() => write!(outline, "L{x:.1} {last:.1}L{x:.1} {y:.1}"),
                Some(_) => write!(outline, "L{x:.1} {y:.1}"),
            };
            before = Some(y);
        }
        let (Some((first, _)), Some((last, _))) = (self.points.first(), self.points.last()) else { return };
        if self.style.filled() && before.is_some() {
            let zero = values.place(0.0);
            let (first, last) = (time.place(*first), time.place(*last));
            let area = format!("{outline}L{last:.1} {zero:.1}L{first:.1} {zero:.1}Z");
            if self.style == Style::StepCover {
                svg.cover(&area);
            }
            svg.fill(&area, self.color);
        }
        svg.stroke(&outline, self.color, if self.style.filled() { 1.2 } else { 2.0 });
    }
}

impl Style {
    const fn holds(self) -> bool {
        matches!(self, Self::Step | Self::StepArea | Self::StepCover)
    }

    const fn filled(self) -> bool {
        matches!(self, Self::Area | Self::StepArea | Self::StepCover)
    }
}

/// A tick's label: no more digits than it needs.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let points = vec![(0.0, 1.0), (60.0, 4.0), (120.0, f64::NAN), (180.0, 2.0)];
        let series = |name: &str, style, side| Series {
            name: name.to_owned(),
            color: "#123456",
            style,
            side,
            points: points.clone(),
        };
        Chart {
            title: "A <title> & more".to_owned(),
            subtitle: "subtitle".to_owned(),
            time_label: "seconds".to_owned(),
            panels: vec![Panel {
                label: "left".to_owned(),
                right_label: Some("right".to_owned()),
                series: vec![
                    series("area", Style::Area, Side::Left),
                    series("step", Style::Step, Side::Right),
                ],
                guides: vec![Guide {
                    name: "target".to_owned(),
                    color: "#654321",
                    side: Side::Right,
                    value: 3.0,
                }],
                ..Panel::default()
            }],
        }
    }

    #[test]
    fn names_everything_and_escapes_text() {
        let svg = chart().to_svg();
        for text in
            ["A &lt;title&gt; &amp; more", "subtitle", "seconds", ">left<", ">right<", ">target<", ">area<"]
        {
            assert!(svg.contains(text), "{text} is missing in {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn steps_hold_their_value() {
        let svg = chart().to_svg();
        let steps =
            svg.lines().find(|line| line.contains("fill=\"none\"") && line.contains("stroke-width=\"2\""));
        let corners = steps.expect("the step series").matches('L').count();
        assert_eq!(corners, 4, "two corners for each of the two later points");
    }

    #[test]
    fn an_empty_chart_is_still_a_picture() {
        let empty = Chart {
            title: String::new(),
            subtitle: String::new(),
            time_label: String::new(),
            panels: vec![Panel::default()],
        };
        let svg = empty.to_svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
