//! Bar charts as SVG: readable on light and dark pages, without a script or a font of their own.

use std::fmt::Write;

/// Groups of bars that share one scale.
pub struct Chart {
    pub title: String,
    pub subtitle: String,
    pub groups: Vec<Group>,
    /// How a value is written at the end of its bar.
    pub label: fn(f64) -> String,
}

pub struct Group {
    pub title: String,
    pub bars: Vec<Bar>,
}

pub struct Bar {
    pub name: String,
    pub value: f64,
    pub colour: Colour,
}

/// Whom a bar stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Ours,
    Peer,
    /// A line that is compared with, and no contestant.
    Mark,
}

impl Colour {
    fn fill(self) -> &'static str {
        match self {
            Colour::Ours => "#0969da",
            Colour::Peer => "#9fb3c8",
            Colour::Mark => "#dde3e9",
        }
    }
}

const WIDTH: f64 = 820.0;
const MARGIN: f64 = 24.0;
/// Where bars begin, right of their names.
const BARS: f64 = 250.0;
/// Kept free right of the longest bar, for its value.
const VALUES: f64 = 110.0;
const HEAD: f64 = 74.0;
const GROUP: f64 = 30.0;
const ROW: f64 = 24.0;
const GAP: f64 = 14.0;

/// Draws it.
pub fn draw(chart: &Chart) -> String {
    let rows: usize = chart.groups.iter().map(|group| group.bars.len()).sum();
    let height =
        HEAD + chart.groups.len() as f64 * (GROUP + GAP) + rows as f64 * ROW + MARGIN / 2.0;
    let bars = chart.groups.iter().flat_map(|group| &group.bars);
    let most = bars.map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - BARS - VALUES - MARGIN) / most;

    let mut svg = String::new();
    let mut line = |text: String| {
        svg.push_str(&text);
        svg.push('\n');
    };
    line(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" font-family="-apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', Helvetica, Arial, sans-serif">"#
    ));
    line(format!("<title>{}</title>", escaped(&chart.title)));
    line(format!(
        r##"<rect x="0.5" y="0.5" width="{}" height="{}" rx="8" fill="#ffffff" stroke="#d0d7de"/>"##,
        WIDTH - 1.0,
        height - 1.0
    ));
    line(text(
        MARGIN,
        34.0,
        18,
        "#1f2328",
        "600",
        "start",
        &chart.title,
    ));
    line(text(
        MARGIN,
        56.0,
        13,
        "#59636e",
        "400",
        "start",
        &chart.subtitle,
    ));
    let mut y = HEAD;
    for group in &chart.groups {
        y += GROUP;
        line(text(
            MARGIN,
            y - 8.0,
            13,
            "#1f2328",
            "600",
            "start",
            &group.title,
        ));
        for bar in &group.bars {
            let weight = if bar.colour == Colour::Ours {
                "600"
            } else {
                "400"
            };
            let middle = y + ROW / 2.0 + 4.5;
            let length = bar.value * scale;
            line(text(
                BARS - 10.0,
                middle,
                13,
                "#1f2328",
                weight,
                "end",
                &bar.name,
            ));
            line(format!(
                r#"<rect x="{BARS}" y="{:.1}" width="{:.1}" height="{:.1}" rx="2" fill="{}"/>"#,
                y + 3.0,
                length.max(1.0),
                ROW - 6.0,
                bar.colour.fill()
            ));
            let value = (chart.label)(bar.value);
            line(text(
                BARS + length + 8.0,
                middle,
                13,
                "#1f2328",
                weight,
                "start",
                &value,
            ));
            y += ROW;
        }
        y += GAP;
    }
    line("</svg>".to_owned());
    svg
}

fn text(x: f64, y: f64, size: u32, fill: &str, weight: &str, anchor: &str, text: &str) -> String {
    let mut svg = String::new();
    // Writing to a String does not fail.
    let _ = write!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" font-weight="{weight}" fill="{fill}" text-anchor="{anchor}">{}</text>"#,
        escaped(text)
    );
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
