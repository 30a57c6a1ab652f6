#[path = "../../../../book/regen/moving.rs"]
mod moving;
#[path = "../../../../book/regen/recorded.rs"]
mod recorded;
fn generated() -> std::path::PathBuf { "/work/wt/live/book/src/generated".into() }
fn main() {
    let again = match std::env::args().nth(1).as_deref() { Some("redraw") => recorded::Again::None, Some("sample") => recorded::Again::Sample, _ => recorded::Again::All };
    for page in moving::pages(again).unwrap() { let path = generated().join(page.name); println!("{} {} {}", page.name, page.text.len(), std::fs::read_to_string(&path).is_ok_and(|old| old == page.text)); std::fs::write(path, page.text).unwrap(); }
}
