pub struct Page { pub name: &'static str, pub text: String } impl Page { pub fn rounded(name: &'static str, text: String) -> Self { Self { name, text } } }
