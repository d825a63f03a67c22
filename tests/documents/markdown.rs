//! What stands where in a document.

/// From the heading to the next one of its rank.
pub fn section(document: &str, heading: &str) -> String {
    let marks = heading.split(' ').next().unwrap_or_default();
    let start = document
        .find(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no section {heading:?}"));
    let rest = &document[start + 1..];
    let end = rest[1..].find(&format!("\n{marks} "));
    rest[..end.map_or(rest.len(), |end| end + 1)].to_owned()
}

/// The cells of the rows of all tables in `text`, without their heads.
pub fn rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut below_head = false;
    for line in text.lines() {
        if line.starts_with("|---") {
            below_head = true;
        } else if !line.starts_with('|') {
            below_head = false;
        } else if below_head {
            let cells = line.trim_matches('|').split(" | ");
            rows.push(cells.map(|cell| cell.trim().to_owned()).collect());
        }
    }
    rows
}

/// The words in backticks in the first column of all tables.
pub fn first_column(text: &str) -> Vec<String> {
    let rows = rows(text).into_iter();
    rows.flat_map(|row| quoted(&row[0])).collect()
}

/// Everything in backticks on one line; fences are left out.
pub fn quoted(text: &str) -> Vec<String> {
    let lines = without_fences(text);
    let words = lines.flat_map(|line| line.split('`').skip(1).step_by(2));
    words.map(str::to_owned).collect()
}

fn without_fences(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

pub fn headings(text: &str) -> impl Iterator<Item = &str> {
    let heading = |line: &&str| line.starts_with('#');
    without_fences(text)
        .filter(heading)
        .map(|line| line.trim_start_matches('#').trim())
}

/// The anchor that GitHub gives a heading.
pub fn slug(heading: &str) -> String {
    let kept = |next: &char| next.is_alphanumeric() || " -_".contains(*next);
    let lower = heading.to_lowercase();
    lower
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

/// Links to places in this repository.
pub fn local_links(text: &str) -> Vec<&str> {
    let mut links = Vec::new();
    for line in without_fences(text) {
        let ends = line.split("](").skip(1);
        let targets = ends.filter_map(|rest| rest.split([')', ' ']).next());
        links.extend(targets.filter(|link| !link.contains("://") && !link.starts_with("mailto:")));
    }
    links
}
