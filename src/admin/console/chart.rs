//! Charts of the last quarter of an hour as SVG. A policy without inline styles leaves classes, which the style sheet
//! colours.

use maud::{Markup, html};

use crate::shell::SLOTS;

/// Units of the drawing; the page stretches it.
const WIDTH: usize = SLOTS * 10;
const HEIGHT: f64 = 100.0;

pub(super) struct Chart<'a> {
    /// What it shows, for whoever cannot see it.
    pub(super) label: String,
    /// From the oldest to the present.
    pub(super) values: &'a [f64],
    /// A line that the values should stay below.
    pub(super) limit: Option<f64>,
}

impl Chart<'_> {
    /// The value at the upper edge.
    pub(super) fn top(&self) -> f64 {
        let highest = self
            .values
            .iter()
            .copied()
            .chain(self.limit)
            .fold(0.0, f64::max);
        round_up(highest * 1.05)
    }

    pub(super) fn draw(&self) -> Markup {
        let top = self.top();
        let height = |value: f64| HEIGHT * (1.0 - value / top);
        let first = SLOTS.saturating_sub(self.values.len());
        let mut area = String::new();
        let mut line = String::new();
        for (place, value) in self.values.iter().enumerate() {
            let (left, y) = ((first + place) * 10, height(*value));
            let command = if place == 0 { 'M' } else { 'L' };
            line += &format!("{command}{left} {y:.1}L{} {y:.1}", left + 10);
            area += &match place {
                0 => format!("M{left} {HEIGHT}L{left} {y:.1}L{} {y:.1}", left + 10),
                _ => format!("L{left} {y:.1}L{} {y:.1}", left + 10),
            };
        }
        area += &format!("L{WIDTH} {HEIGHT}Z");
        html! {
            svg.chart role="img" aria-label=(self.label) viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" {
                @for third in 1..3 {
                    @let x = WIDTH / 3 * third;
                    path.grid d=(format!("M{x} 0L{x} {HEIGHT}")) {}
                }
                path.grid d=(format!("M0 {0}L{WIDTH} {0}", HEIGHT / 2.0)) {}
                path.area d=(area) {}
                path.line d=(line) {}
                @if let Some(limit) = self.limit {
                    path.limit d=(format!("M0 {0:.1}L{WIDTH} {0:.1}", height(limit))) {}
                }
            }
        }
    }
}

/// To a number that people read at a glance.
fn round_up(value: f64) -> f64 {
    let mut step = 1.0;
    loop {
        for factor in [1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0] {
            if value <= step * factor {
                return step * factor;
            }
        }
        // No rate of this program is higher.
        if step > 1e12 {
            return value;
        }
        step *= 10.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_ends_at_the_present_and_holds_its_values_and_its_limit() {
        let chart = Chart {
            label: "Calls".to_owned(),
            values: &[10.0, 40.0],
            limit: Some(100.0),
        };
        assert_eq!(chart.top(), 120.0);
        let svg = chart.draw().into_string();
        assert!(
            svg.contains("M880 91.7L890 91.7L890 66.7L900 66.7"),
            "{svg}"
        );
        assert!(svg.contains("M0 16.7L900 16.7"), "{svg}");
        assert!(!svg.contains("style"), "the policy forbids it");
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (value, top) in [
            (0.0, 1.0),
            (1.1, 1.2),
            (3.1, 4.0),
            (99.0, 100.0),
            (101.0, 120.0),
        ] {
            assert_eq!(round_up(value), top);
        }
        assert!(round_up(f64::MAX).is_finite());
    }
}
