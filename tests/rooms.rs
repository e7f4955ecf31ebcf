//! The rooms of the crate: imports point down.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};

/// Each room and the rooms it may import from. What stands lower imports nothing above it.
const ROOMS: &[(&str, &[&str])] = &[
    // Words.
    ("time", &[]),
    ("error", &[]),
    ("host", &[]),
    ("ends", &[]),
    // Rules: pure, told the time and the dice.
    ("ttl", &[]),
    ("backoff", &[]),
    ("recheck", &["backoff"]),
    ("slow", &[]),
    ("outage", &["host"]),
    ("outcome", &["error"]),
    ("penalty", &["backoff", "outcome"]),
    ("addrs", &["penalty"]),
    ("attribution", &["addrs", "outcome"]),
    ("filter", &[]),
    ("early_close", &["ends", "outcome"]),
    ("retire", &[]),
    ("whereabouts", &[]),
    ("tunnel", &["error", "outcome"]),
    // Memory.
    ("bounded", &[]),
    (
        "cache",
        &[
            "backoff", "bounded", "error", "host", "addrs", "recheck", "ttl",
        ],
    ),
    (
        "health",
        &["bounded", "host", "addrs", "outcome", "penalty", "slow"],
    ),
    // Context, ask, tell.
    ("observe", &["cache", "error", "addrs", "outcome", "retire"]),
    (
        "attempt",
        &["bounded", "cache", "ends", "host", "observe", "addrs"],
    ),
    ("lookup", &["error", "host", "addrs", "outcome", "time"]),
    // Join.
    (
        "resolver",
        &[
            "attempt",
            "attribution",
            "bounded",
            "cache",
            "early_close",
            "ends",
            "error",
            "filter",
            "health",
            "host",
            "lookup",
            "observe",
            "addrs",
            "outage",
            "outcome",
            "penalty",
            "recheck",
            "retire",
            "slow",
            "time",
            "ttl",
            "whereabouts",
        ],
    ),
    // Act.
    (
        "connect",
        // `Family` is order's.
        &[
            "attempt",
            "attribution",
            "ends",
            "error",
            "host",
            "observe",
            "addrs",
            "outcome",
            "resolver",
            "time",
            "tunnel",
        ],
    ),
    (
        "happy_eyeballs",
        &[
            "attempt", "connect", "error", "host", "addrs", "outcome", "resolver", "time",
        ],
    ),
    (
        "passive_health",
        &[
            "attempt",
            "early_close",
            "ends",
            "outcome",
            "resolver",
            "time",
        ],
    ),
    (
        "drain",
        &["ends", "host", "observe", "resolver", "retire", "time"],
    ),
    (
        "clients",
        &[
            "attempt",
            "bounded",
            "cache",
            "connect",
            "early_close",
            "ends",
            "error",
            "passive_health",
            "host",
            "observe",
            "addrs",
            "outcome",
            "drain",
            "happy_eyeballs",
            "resolver",
            "time",
        ],
    ),
];

/// Names at the root of the crate, and the room each comes from.
const ROOT: &[(&str, &str)] = &[
    ("ResolveError", "error"),
    ("ConfigError", "error"),
    ("Family", "addrs"),
    ("AddressOrder", "addrs"),
    ("HappyEyeballsLayer", "happy_eyeballs"),
    ("Outcome", "outcome"),
    ("Lookup", "lookup"),
    ("Answer", "lookup"),
    ("Resolver", "resolver"),
    ("ResolverBuilder", "resolver"),
    ("Event", "observe"),
];

#[test]
fn imports_point_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (room, allowed) in ROOMS {
        for imported in imports_of(&src, room) {
            if imported != *room && !allowed.contains(&imported.as_str()) {
                wrong.push(format!("{room} imports {imported}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The table itself points down.
#[test]
fn the_table_has_no_way_up() {
    for (place, (room, allowed)) in ROOMS.iter().enumerate() {
        for below in *allowed {
            let found = ROOMS[..place].iter().any(|(other, _)| other == below);
            assert!(found, "{room} imports {below}, which is not below it");
        }
    }
}

#[test]
fn every_room_is_in_the_table() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms: BTreeSet<_> = fs::read_dir(src)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .filter(|room| room != "lib")
        .collect();
    let table: BTreeSet<_> = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(rooms, table);
}

/// The clock has one door; tasks are spawned in one file, and the one thread in another.
#[test]
fn the_clock_and_the_spawn_have_one_door() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    let holding = |text: &str| -> Vec<String> {
        let holds = |path: &&std::path::PathBuf| {
            let source = fs::read_to_string(path).unwrap();
            !path.ends_with("tests.rs")
                && source.split("#[cfg(test)]").next().unwrap().contains(text)
        };
        let name = |path: &std::path::PathBuf| {
            path.strip_prefix(&src)
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/")
        };
        let mut found: Vec<_> = files.iter().filter(holds).map(name).collect();
        found.sort();
        found
    };
    assert_eq!(holding("Instant::now()"), ["time.rs"]);
    assert_eq!(
        holding(".spawn("),
        ["resolver/refresh.rs", "resolver/watch.rs"]
    );
    assert_eq!(holding("std::thread"), ["resolver/watch.rs"]);
    assert!(holding("tokio::spawn(").is_empty());
}

fn imports_of(src: &Path, room: &str) -> BTreeSet<String> {
    let mut files = Vec::new();
    walk(&src.join(room), &mut files);
    let single = src.join(room).with_extension("rs");
    files.extend(single.exists().then_some(single));
    assert!(!files.is_empty(), "the room {room} has no file");
    let parsed = files.into_iter().map(|file| {
        let source = fs::read_to_string(&file).unwrap();
        (file, syn::parse_file(&source).unwrap())
    });
    let parsed: Vec<_> = parsed.collect();
    let for_tests: Vec<_> = parsed
        .iter()
        .flat_map(|(file, syntax)| {
            let folder = match file.ends_with("mod.rs") {
                true => file.parent().unwrap().to_owned(),
                false => file.with_extension(""),
            };
            modules_for_tests(syntax).map(move |name| folder.join(name))
        })
        .collect();
    let mut found = Imports::default();
    for (file, syntax) in &parsed {
        let module = file.with_extension("");
        if !for_tests.iter().any(|tests| module.starts_with(tests)) {
            found.visit_file(syntax);
        }
    }
    found.0
}

/// Names of the files that are there for tests alone.
fn modules_for_tests(file: &syn::File) -> impl Iterator<Item = String> {
    file.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if module.content.is_none() => {
            let only_for_tests = |attr: &syn::Attribute| {
                attr.path().is_ident("cfg")
                    && attr
                        .parse_args::<syn::Path>()
                        .is_ok_and(|cfg| cfg.is_ident("test"))
            };
            module
                .attrs
                .iter()
                .any(only_for_tests)
                .then(|| module.ident.to_string())
        }
        _ => None,
    })
}

fn walk(dir: &Path, files: &mut Vec<std::path::PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// First segments after `crate::`, in `use` items and in paths; tests may import what they like.
#[derive(Default)]
struct Imports(BTreeSet<String>);

impl Imports {
    fn note(&mut self, name: &str) {
        let room = ROOT
            .iter()
            .find(|(item, _)| *item == name)
            .map_or(name, |(_, room)| room);
        self.0.insert(room.to_owned());
    }

    fn after_crate(&mut self, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => self.note(&path.ident.to_string()),
            syn::UseTree::Name(name) => self.note(&name.ident.to_string()),
            syn::UseTree::Rename(rename) => self.note(&rename.ident.to_string()),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.after_crate(tree))
            }
            syn::UseTree::Glob(_) => panic!("a glob hides what is imported"),
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_use_tree(&mut self, tree: &'ast syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) if path.ident == "crate" => self.after_crate(&path.tree),
            _ => visit::visit_use_tree(self, tree),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter();
        if segments.next().is_some_and(|first| first.ident == "crate")
            && let Some(second) = segments.next()
        {
            self.note(&second.ident.to_string());
        }
        visit::visit_path(self, path);
    }
}
