//! A disk that forgets: what a run did to its state folder, told by `strace`, and the files as a power failure
//! leaves them when only what was synced survives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The system calls that change files or make them durable.
pub const CALLS: &str = "openat,pwrite64,write,ftruncate,fdatasync,fsync,unlink,unlinkat,rename,linkat,mkdir";

/// One finished system call: its name, the paths and texts among its arguments, and its other arguments.
#[derive(Debug)]
pub struct Call {
    pub process: String,
    pub name: String,
    pub texts: Vec<Vec<u8>>,
    pub rest: String,
}

impl Call {
    fn path(&self, place: usize) -> PathBuf {
        PathBuf::from(String::from_utf8_lossy(&self.texts[place]).into_owned())
    }

    /// The file that a call on a descriptor is about.
    pub fn file(&self) -> PathBuf {
        self.path(0)
    }

    /// The path that is the argument at this place, below its folder if it is relative.
    fn named(&self, folder: usize) -> PathBuf {
        self.path(folder).join(self.path(folder + 1))
    }

    /// What a call writes.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.texts[1]).into_owned()
    }

    fn number(&self, from_the_end: usize) -> usize {
        let numbers: Vec<&str> = self.rest.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        numbers[numbers.len() - 1 - from_the_end].parse().expect("a number")
    }
}

/// The calls that succeeded, in the order in which they ended. Made with `-y -xx`: every text is hexadecimal.
pub fn calls(trace: &str) -> Vec<Call> {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(process, start);
        } else if let Some((_, end)) = rest.split_once(" resumed>") {
            let start = begun.remove(process).expect("it began");
            calls.extend(call(process, &format!("{start}{end}")));
        } else {
            calls.extend(call(process, rest));
        }
    }
    calls
}

fn call(process: &str, line: &str) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") ")?;
    if result.trim_start().starts_with("= -1") {
        return None;
    }
    let (mut texts, mut others) = (Vec::new(), String::new());
    let mut left = arguments;
    while let Some(start) = left.find(['"', '<']) {
        others.push_str(&left[..start]);
        let end = start + 1 + left[start + 1..].find(['"', '>'])?;
        texts.push(bytes(&left[start + 1..end]));
        left = &left[end + 1..];
    }
    others.push_str(left);
    Some(Call { process: process.to_owned(), name: name.to_owned(), texts, rest: others })
}

fn bytes(text: &str) -> Vec<u8> {
    // A file that is gone has a word behind its name.
    let hexadecimal = text.split("\\x").skip(1).map(|digits| digits.get(..2).expect("two digits"));
    hexadecimal.map(|digits| u8::from_str_radix(digits, 16).expect("hexadecimal")).collect()
}

enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write(at, bytes) => {
                content.resize(content.len().max(at + bytes.len()), 0);
                content[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Change::Length(length) => content.resize(*length, 0),
        }
    }
}

/// A file or a folder, whatever it is called.
#[derive(Default)]
struct Node {
    folder: bool,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// What the pending changes make of it.
    length: usize,
}

/// A folder on a disk that keeps in mind what it has not been told to keep.
pub struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
}

impl Disk {
    pub fn new(root: &Path) -> Self {
        Disk { root: root.to_owned(), nodes: Vec::new(), names: BTreeMap::new(), durable_names: BTreeMap::new() }
    }

    pub fn is_sync(call: &Call) -> bool {
        matches!(call.name.as_str(), "fsync" | "fdatasync")
    }

    /// Does what the call did.
    pub fn take(&mut self, call: &Call) {
        match call.name.as_str() {
            "openat" if call.rest.contains("O_CREAT") => self.open(call.named(0), call.rest.contains("O_TRUNC")),
            "mkdir" => self.add(call.path(0), true),
            "pwrite64" => self.change(&call.file(), Change::Write(call.number(0), call.texts[1].clone())),
            "write" => self.append(&call.file(), call.texts[1].clone()),
            "ftruncate" => self.change(&call.file(), Change::Length(call.number(0))),
            "unlink" => drop(self.names.remove(&call.path(0))),
            "unlinkat" => drop(self.names.remove(&call.named(0))),
            "rename" => self.rename(&call.path(0), call.path(1)),
            "linkat" => self.link(&call.named(0), call.named(2)),
            "fsync" | "fdatasync" => self.sync(&call.file()),
            _ => {}
        }
    }

    fn add(&mut self, path: PathBuf, folder: bool) {
        if path.starts_with(&self.root) && !self.names.contains_key(&path) {
            self.names.insert(path, self.nodes.len());
            self.nodes.push(Node { folder, ..Node::default() });
        }
    }

    fn open(&mut self, path: PathBuf, truncate: bool) {
        self.add(path.clone(), false);
        if truncate {
            self.change(&path, Change::Length(0));
        }
    }

    fn change(&mut self, path: &Path, change: Change) {
        let Some(number) = self.names.get(path) else { return };
        let node = &mut self.nodes[*number];
        node.length = match &change {
            Change::Write(at, bytes) => node.length.max(at + bytes.len()),
            Change::Length(length) => *length,
        };
        node.pending.push(change);
    }

    fn append(&mut self, path: &Path, bytes: Vec<u8>) {
        if let Some(number) = self.names.get(path) {
            self.change(path, Change::Write(self.nodes[*number].length, bytes));
        }
    }

    fn rename(&mut self, from: &Path, to: PathBuf) {
        if let Some(number) = self.names.remove(from) {
            self.names.insert(to, number);
        }
    }

    fn link(&mut self, from: &Path, to: PathBuf) {
        if let Some(number) = self.names.get(from) {
            self.names.insert(to, *number);
        }
    }

    fn sync(&mut self, path: &Path) {
        if path == self.root || self.names.get(path).is_some_and(|number| self.nodes[*number].folder) {
            self.durable_names.retain(|name, _| name.parent() != Some(path));
            let inside = self.names.iter().filter(|(name, _)| name.parent() == Some(path));
            self.durable_names.extend(inside.map(|(name, number)| (name.clone(), *number)));
        } else if let Some(number) = self.names.get(path) {
            let node = &mut self.nodes[*number];
            std::mem::take(&mut node.pending).iter().for_each(|change| change.apply(&mut node.durable));
        }
    }

    /// Writes to `to` what a power failure leaves. `survives` says of each change that was not synced whether
    /// it reached the disk all the same.
    pub fn fail(&self, to: &Path, survives: &mut dyn FnMut() -> bool) {
        let everything = self.names.keys().chain(self.durable_names.keys());
        let folders: BTreeSet<&Path> = everything.map(|name| folder_of(name)).collect();
        let renewed: BTreeSet<&Path> = folders.into_iter().filter(|_| survives()).collect();
        let unsynced = self.names.iter().filter(|(name, _)| renewed.contains(folder_of(name)));
        let synced = self.durable_names.iter().filter(|(name, _)| !renewed.contains(folder_of(name)));
        let mut names: Vec<_> = unsynced.chain(synced).collect();
        // Folders come before what is in them.
        names.sort();
        for (name, number) in names {
            self.restore(to, name, &self.nodes[*number], survives);
        }
    }

    fn restore(&self, to: &Path, name: &Path, node: &Node, survives: &mut dyn FnMut() -> bool) {
        let path = to.join(name.strip_prefix(&self.root).expect("below the root"));
        // The memory that programs share is gone, and so is what is in a folder that is gone.
        if name.to_string_lossy().ends_with("-shm") || !folder_of(&path).is_dir() {
            return;
        }
        if node.folder {
            return std::fs::create_dir(path).expect("a new folder");
        }
        let mut content = node.durable.clone();
        node.pending.iter().filter(|_| survives()).for_each(|change| change.apply(&mut content));
        runbook::base::private::write(&path, &content).expect("a new file");
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
