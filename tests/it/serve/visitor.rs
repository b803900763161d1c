//! Somebody who is signed in with a browser, without one: cookies, forms, and pages as text.

use std::sync::LazyLock;

use regex::Regex;

use super::client::{Answer, Client};

/// A session of a browser.
pub struct Browser<'a> {
    client: &'a Client,
    pub cookie: String,
    pub csrf: String,
}

/// What a browser says about a form that stood on a page of the server.
pub fn from_here(client: &Client) -> String {
    format!("origin: http://{}\r\nsec-fetch-site: same-origin\r\n", client.address())
}

pub fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

/// Sends the form of the login page.
pub fn try_to_sign_in(client: &Client, token: &str, next: &str) -> Answer {
    let body = form(&[("token", token), ("next", next)]);
    client.raw("POST", "/login", &format!("{FORM}{}", from_here(client)), body.as_bytes()).expect("an answer")
}

impl<'a> Browser<'a> {
    pub fn sign_in(client: &'a Client, token: &str) -> Self {
        let answer = try_to_sign_in(client, token, "/runs").is(303);
        let cookie =
            answer.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_owned();
        let mut browser = Browser { client, cookie, csrf: String::new() };
        let page = browser.get("/runs").is(200);
        browser.csrf = field(&page.body, "csrf").expect("a form");
        browser
    }

    pub fn get(&self, path: &str) -> Answer {
        self.client.raw("GET", path, &format!("cookie: {}\r\n", self.cookie), b"").expect("an answer")
    }

    /// Sends a form of a page, with its token.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("csrf", self.csrf.as_str())]).collect();
        self.raw_post(path, &from_here(self.client), &fields)
    }

    /// Sends a form with these headers and fields, and nothing else.
    pub fn raw_post(&self, path: &str, headers: &str, fields: &[(&str, &str)]) -> Answer {
        let headers = format!("{FORM}cookie: {}\r\n{headers}", self.cookie);
        self.client.raw("POST", path, &headers, form(fields).as_bytes()).expect("an answer")
    }

    /// A page, or a form of it.
    pub fn call(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        match method {
            "POST" => self.post(path, fields),
            _ => self.client.raw(method, path, &format!("cookie: {}\r\n", self.cookie), b"").expect("an answer"),
        }
    }

    /// A page as somebody reads it.
    pub fn reads(&self, path: &str) -> String {
        text_of(&self.get(path).is(200).body)
    }
}

/// The value of the first hidden field with this name.
pub fn field(page: &str, name: &str) -> Option<String> {
    let (_, after) = page.split_once(&format!("name=\"{name}\" value=\""))?;
    Some(after.split('"').next()?.to_owned())
}

static BLOCKS: LazyLock<Regex> = LazyLock::new(|| {
    let names = "p|h1|h2|h3|li|tr|dt|div|form|section|summary|pre|label|header|footer|article|text|a class|title";
    Regex::new(&format!("<({names})\\b[^>]*>")).expect("a pattern")
});
static TAGS: LazyLock<Regex> = LazyLock::new(|| Regex::new("<[^>]*>").expect("a pattern"));
static SPACES: LazyLock<Regex> = LazyLock::new(|| Regex::new("[ \t]+").expect("a pattern"));

/// The text of a page, a line for each of its blocks.
pub fn text_of(page: &str) -> String {
    let (_, body) = page.split_once("<body>").expect("a page");
    let lines = BLOCKS.replace_all(body, "\n");
    let cells =
        lines.replace("<td", " <td").replace("<th", " <th").replace("<dd", " <dd").replace("<option", " <option");
    let cells = cells.replace("<br", " <br").replace("<a ", " <a ").replace("<button", " <button");
    let text = TAGS.replace_all(&cells, "").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    let text = text.replace("&#39;", "'").replace("&amp;", "&");
    let lines = text.lines().map(|line| SPACES.replace_all(line.trim(), " ").into_owned());
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The text without what differs from call to call.
pub fn shown(text: &str) -> String {
    let changing = [
        (r"\b(duration|modified_at|age|newest_age|oldest_age): [0-9.]+", "$1: [number]"),
        (r"\b\d{4}-\d{6}-[2-9b-z]{4}\b", "[run]"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
        (r"\b\d\d:\d\d:\d\dZ", "[time]"),
        (r"\((in )?\d+ (s|min|h|days)( ago)?\)", "([age])"),
        (r"\b(\d+ h )?(\d+ min )?\d+(\.\d)? (ms|s|min)\b", "[duration]"),
        (r"\b\d+ days\b", "[days]"),
        (r"\b[0-9a-f]{64}\b", "[hash]"),
        (r"\b[0-9a-f]{16}\b", "[digest]"),
        (r"\bKey \S+", "Key [name]"),
        (r"\b\d+:\[hash\]", "[count]:[hash]"),
        (r"the first \d+ entries", "the first [count] entries"),
        (r"– \d+ entries came", "– [count] entries came"),
        (r"\brunbook \d+\.\d+\.\d+", "runbook [version]"),
    ];
    changing.into_iter().fold(text.to_owned(), |text, (pattern, word)| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, word).into_owned()
    })
}
