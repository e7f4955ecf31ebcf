//! The modules of the crate: imports point down, and no files import each other in a circle.
//!
//! The test reads the sources. An import counts for the file that defines the item, whichever module re-exports it.
//! The bodies of macros are not read: `clients/versions.rs` imports `passive_health` in one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// Each module, and the modules below it that its files may import.
const MODULES: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("error", &[]),
    ("host", &[]),
    ("bounded", &[]),
    ("filter", &[]),
    ("drain_policy", &[]),
    // Pure rules over the records of addresses. `addrs` orders addresses by their ranks, and `health` keeps the ranks.
    ("addrs", &["health"]),
    ("health", &["addrs", "bounded", "error", "host", "time"]),
    ("events", &["addrs", "error", "health"]),
    ("lookup", &["addrs", "error", "health", "host", "time"]),
    (
        "cache",
        &[
            "addrs", "bounded", "error", "events", "filter", "health", "host", "lookup", "time",
        ],
    ),
    ("attempt", &["addrs", "cache", "events", "health", "host"]),
    (
        "resolver",
        &[
            "addrs",
            "attempt",
            "bounded",
            "cache",
            "drain_policy",
            "error",
            "events",
            "filter",
            "health",
            "host",
            "lookup",
            "time",
        ],
    ),
    (
        "connect",
        &[
            "addrs", "attempt", "error", "events", "health", "host", "resolver", "time",
        ],
    ),
    (
        "happy_eyeballs",
        &[
            "addrs", "attempt", "connect", "error", "health", "host", "resolver", "time",
        ],
    ),
    (
        "drain",
        &[
            "attempt",
            "drain_policy",
            "events",
            "host",
            "resolver",
            "time",
        ],
    ),
    (
        "retry",
        &[
            "addrs",
            "attempt",
            "connect",
            "happy_eyeballs",
            "health",
            "host",
            "resolver",
            "time",
        ],
    ),
    ("passive_health", &["attempt", "health", "resolver", "time"]),
    (
        "clients",
        &[
            "addrs",
            "attempt",
            "bounded",
            "connect",
            "drain",
            "error",
            "happy_eyeballs",
            "health",
            "host",
            "resolver",
            "retry",
            "time",
        ],
    ),
];

#[test]
fn imports_follow_the_table() {
    let sources = Sources::read();
    let mut wrong = BTreeSet::new();
    for (file, imported) in sources.edges() {
        let (from, to) = (module_of(&file), module_of(&imported));
        let allowed = MODULES.iter().find(|(name, _)| *name == from);
        let allowed = allowed.unwrap_or_else(|| panic!("{from} is not in the table"));
        if from != to && !allowed.1.contains(&to) {
            wrong.insert(format!("{file} imports {imported}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A table that allows what no file does would hide a new import.
#[test]
fn the_table_allows_nothing_that_no_file_imports() {
    let edges = Sources::read().edges();
    let used = |from: &str, to: &str| {
        let mut edges = edges.iter();
        edges.any(|(file, imported)| module_of(file) == from && module_of(imported) == to)
    };
    let all = MODULES
        .iter()
        .flat_map(|(from, allowed)| allowed.iter().map(move |to| (*from, *to)));
    let unused: Vec<_> = all.filter(|(from, to)| !used(from, to)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let edges = Sources::read().edges();
    let circles = circles(&edges);
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn every_module_is_in_the_table() {
    let files = Sources::read().files;
    let modules: BTreeSet<_> = files.keys().map(|file| module_of(file)).collect();
    let table: BTreeSet<_> = MODULES.iter().map(|(name, _)| *name).collect();
    let missing: Vec<_> = modules
        .difference(&table)
        .filter(|it| **it != "lib")
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The cache and the health of addresses have one owner each, and the resolver joins the two.
#[test]
fn only_its_own_module_implements_an_owner() {
    const OWNERS: [(&str, &str); 3] = [
        ("impl Inner {", "resolver"),
        ("impl Cache {", "cache"),
        ("impl Health {", "health"),
    ];
    for (file, source) in Sources::read().files {
        for (text, module) in OWNERS {
            let has_impl = source.text.contains(text);
            assert!(!has_impl || module_of(&file) == module, "{file}: {text}");
        }
    }
}

/// The clock has one door. Three files spawn tasks, and another one the only thread.
#[test]
fn the_clock_and_the_spawn_have_one_door() {
    let sources = Sources::read();
    let holding = |text: &str| -> Vec<&str> {
        let files = sources.files.iter();
        let holds = |source: &Source| {
            let code = source.text.split("#[cfg(test)]").next();
            code.is_some_and(|code| code.contains(text))
        };
        files
            .filter(|(_, source)| holds(source))
            .map(|(file, _)| &**file)
            .collect()
    };
    assert_eq!(holding("Instant::now()"), ["time/mod.rs"]);
    let spawning = [
        "cache/lookup_task.rs",
        "cache/refresh.rs",
        "health/probe.rs",
        "resolver/watch.rs",
    ];
    assert_eq!(holding(".spawn("), spawning);
    assert_eq!(holding("std::thread"), ["resolver/watch.rs"]);
    assert!(holding("tokio::spawn(").is_empty());
}

/// `UPDATE_DOCS=1 cargo test --test contracts modules` draws the picture again.
#[test]
fn the_picture_in_the_docs_shows_the_imports() {
    const MARKS: [&str; 2] = ["<!-- modules -->\n", "<!-- /modules -->"];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(MARKS[0]).unwrap();
    let (drawn, after) = rest.split_once(MARKS[1]).unwrap();
    let picture = picture(&Sources::read().edges());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let updated = [before, MARKS[0], &picture, MARKS[1], after].concat();
        fs::write(&path, updated).unwrap();
    } else {
        assert_eq!(drawn, picture, "run it again with UPDATE_DOCS=1");
    }
}

/// Draws the imports among the modules, without those that follow from others.
fn picture(edges: &BTreeSet<(String, String)>) -> String {
    const EVERYWHERE: [&str; 4] = ["time", "error", "host", "bounded"];
    let modules = edges
        .iter()
        .map(|(file, imported)| (module_of(file), module_of(imported)));
    let drawn = |(from, to): &(&str, &str)| {
        from != to && !EVERYWHERE.contains(from) && !EVERYWHERE.contains(to)
    };
    let mut modules: BTreeSet<_> = modules.filter(drawn).collect();
    for edge in modules.clone() {
        modules.remove(&edge);
        if !leads(&modules, edge.0, edge.1, &mut BTreeSet::new()) {
            modules.insert(edge);
        }
    }
    let lines = modules
        .iter()
        .map(|(from, to)| format!("    {from} --> {to}\n"));
    format!(
        "\n```mermaid\ngraph TD\n{}```\n\n",
        lines.collect::<String>()
    )
}

/// Returns whether a way leads from one module to another.
fn leads<'a>(
    edges: &BTreeSet<(&'a str, &'a str)>,
    from: &'a str,
    to: &str,
    seen: &mut BTreeSet<&'a str>,
) -> bool {
    let mut next = edges.iter().filter(|(importer, _)| *importer == from);
    next.any(|(_, imported)| {
        *imported == to || (seen.insert(imported) && leads(edges, imported, to, seen))
    })
}

/// Returns the module that a file belongs to: its folder under `src`, or the file itself.
///
/// The rule of the drain layer needs none of the layer, and the resolver applies it to its own records.
fn module_of(file: &str) -> &str {
    if file == "drain/policy.rs" {
        return "drain_policy";
    }
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// Returns the sets of files that import each other, directly or through others.
fn circles(edges: &BTreeSet<(String, String)>) -> Vec<BTreeSet<String>> {
    let reachable = |from: &str| {
        let mut found = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(file) = open.pop() {
            let next = edges.iter().filter(|(importer, _)| *importer == file);
            for (_, imported) in next {
                if found.insert(imported.clone()) {
                    open.push(imported.clone());
                }
            }
        }
        found
    };
    let files: BTreeSet<_> = edges.iter().map(|(file, _)| file.clone()).collect();
    let reach: BTreeMap<_, _> = files.iter().map(|file| (file, reachable(file))).collect();
    let mut circles = Vec::new();
    for file in &files {
        let with = |other: &&String| {
            reach[file].contains(*other) && reach.get(other).is_some_and(|it| it.contains(file))
        };
        let circle: BTreeSet<_> = files.iter().filter(with).cloned().collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

/// The source files by their path under `src`, without those that are for tests alone.
struct Sources {
    files: BTreeMap<String, Source>,
    /// The file of each module, by the path of the module.
    modules: BTreeMap<Vec<String>, String>,
}

struct Source {
    text: String,
    module: Vec<String>,
    /// The items that the file re-exports from another module, by name.
    exports: BTreeMap<String, Vec<String>>,
    imports: BTreeSet<Vec<String>>,
}

impl Sources {
    fn read() -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut paths = Vec::new();
        walk(&src, &mut paths);
        let mut sources = Self {
            files: BTreeMap::new(),
            modules: BTreeMap::new(),
        };
        let mut only_for_tests = Vec::new();
        for path in paths {
            let file = path.strip_prefix(&src).unwrap().to_str().unwrap();
            let file = file.replace('\\', "/");
            let text = fs::read_to_string(&path).unwrap();
            let syntax = syn::parse_file(&text).unwrap();
            let module = module_path(&file);
            only_for_tests.extend(modules_for_tests(&syntax).map(|name| join(&module, &name)));
            let mut found = Imports::new(module.clone());
            found.visit_file(&syntax);
            sources.modules.insert(module.clone(), file.clone());
            let Imports {
                exports, imports, ..
            } = found;
            let source = Source {
                text,
                module,
                exports,
                imports,
            };
            sources.files.insert(file, source);
        }
        let is_for_tests = |source: &Source| {
            only_for_tests
                .iter()
                .any(|it| source.module.starts_with(it))
        };
        sources.files.retain(|_, source| !is_for_tests(source));
        sources
    }

    /// Returns each pair of a file and a file that it imports an item of.
    fn edges(&self) -> BTreeSet<(String, String)> {
        let mut edges = BTreeSet::new();
        for (file, source) in &self.files {
            for path in &source.imports {
                let target = self.file_of(path, 0).filter(|it| it != file);
                // A macro that is defined in one file is expanded in another one.
                edges.extend(target.map(|target| (file.clone(), target)));
            }
        }
        edges.retain(|(file, _)| file != "lib.rs");
        edges
    }

    /// Returns the file that defines the item of a path.
    fn file_of(&self, path: &[String], depth: usize) -> Option<String> {
        let is_module = |len: &usize| self.modules.contains_key(&path[..*len]);
        let len = (0..=path.len()).rev().find(is_module)?;
        let file = &self.modules[&path[..len]];
        let source = self.files.get(file)?;
        let exported = path.get(len).and_then(|item| source.exports.get(item));
        match exported {
            Some(target) if depth < 8 => {
                let target: Vec<_> = target.iter().chain(&path[len + 1..]).cloned().collect();
                self.file_of(&target, depth + 1)
            }
            Some(_) | None => Some(file.clone()),
        }
    }
}

fn module_path(file: &str) -> Vec<String> {
    let path = file.strip_suffix(".rs").unwrap();
    let path = path.strip_suffix("/mod").unwrap_or(path);
    let segments = path.split('/').filter(|it| *it != "lib");
    segments.map(str::to_owned).collect()
}

fn join(module: &[String], name: &str) -> Vec<String> {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// Returns the names of the modules that are there for tests alone.
fn modules_for_tests(file: &syn::File) -> impl Iterator<Item = String> {
    file.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if module.content.is_none() => {
            let only_for_tests = module.attrs.iter().any(is_for_tests);
            only_for_tests.then(|| module.ident.to_string())
        }
        _ => None,
    })
}

fn is_for_tests(attr: &syn::Attribute) -> bool {
    let is_test = |cfg: syn::Path| cfg.is_ident("test");
    attr.path().is_ident("cfg") && attr.parse_args::<syn::Path>().is_ok_and(is_test)
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for path in fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The paths into the crate in one file, and its re-exports.
struct Imports {
    module: Vec<String>,
    exports: BTreeMap<String, Vec<String>>,
    imports: BTreeSet<Vec<String>>,
}

impl Imports {
    fn new(module: Vec<String>) -> Self {
        Self {
            module,
            exports: BTreeMap::new(),
            imports: BTreeSet::new(),
        }
    }

    /// Returns the path from the root of the crate, or `None` for a path into another crate.
    fn absolute(&self, segments: &[String]) -> Option<Vec<String>> {
        let ups = segments.iter().take_while(|it| *it == "super").count();
        let (from, rest) = match segments.first()?.as_str() {
            "crate" => (&[][..], &segments[1..]),
            "self" => (&self.module[..], &segments[1..]),
            "super" => (
                &self.module[..self.module.len().checked_sub(ups)?],
                &segments[ups..],
            ),
            _ => return None,
        };
        Some(from.iter().chain(rest).cloned().collect())
    }

    fn leaves(tree: &syn::UseTree, before: &[String], leaves: &mut Vec<(Vec<String>, String)>) {
        match tree {
            syn::UseTree::Path(path) => {
                let before = join(before, &path.ident.to_string());
                Self::leaves(&path.tree, &before, leaves);
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                leaves.push((before.to_vec(), before.last().unwrap().clone()));
            }
            syn::UseTree::Name(name) => {
                let name = name.ident.to_string();
                leaves.push((join(before, &name), name));
            }
            syn::UseTree::Rename(rename) => {
                let path = join(before, &rename.ident.to_string());
                leaves.push((path, rename.rename.to_string()));
            }
            syn::UseTree::Group(group) => {
                let items = group.items.iter();
                items.for_each(|tree| Self::leaves(tree, before, leaves));
            }
            syn::UseTree::Glob(_) => leaves.push((before.to_vec(), "*".to_owned())),
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let in_place = module.content.is_some();
        if !module.attrs.iter().any(is_for_tests) && in_place {
            self.module.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut leaves = Vec::new();
        Self::leaves(&item.tree, &[], &mut leaves);
        let is_export = !matches!(item.vis, syn::Visibility::Inherited);
        for (path, name) in leaves {
            let Some(path) = self.absolute(&path) else {
                continue;
            };
            if is_export {
                self.exports.insert(name, path);
            } else {
                self.imports.insert(path);
            }
        }
    }

    /// `pub(super)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        let absolute = self.absolute(&segments).filter(|it| *it != self.module);
        self.imports.extend(absolute.filter(|it| !it.is_empty()));
        visit::visit_path(self, path);
    }
}
