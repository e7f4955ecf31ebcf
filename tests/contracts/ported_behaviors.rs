//! The documents name tests that exist.

use std::fs;
use std::path::Path;

/// If a test that the table names is renamed, moved or removed, this test fails.
#[test]
fn each_test_in_the_table_exists() {
    let table = read("docs/ported-behaviors.md");
    let tests: Vec<_> = in_the_last_column(&table).collect();
    let missing: Vec<_> = tests.iter().filter(|test| !is_a_test(test)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(tests.len() > 100, "the table has more than 100 tests");
}

/// If a file of tests is renamed, moved or removed, this test fails.
#[test]
fn each_module_that_the_behaviors_name_exists() {
    let table = read("docs/behaviors.md");
    let behaviors: String = table
        .split_inclusive('\n')
        .filter(|row| row.starts_with("| **"))
        .collect();
    let modules: Vec<_> = in_the_last_column(&behaviors).collect();
    let missing: Vec<_> = modules
        .iter()
        .filter(|module| source(module).is_none())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(modules.len() > 40, "each behavior names its tests");
}

/// Returns the quoted words in the last column of all tables.
fn in_the_last_column(text: &str) -> impl Iterator<Item = &str> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let last = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    last.flat_map(|words| words.split('`').skip(1).step_by(2))
}

fn is_a_test(path: &str) -> bool {
    path.rsplit_once("::").is_some_and(|(module, test)| {
        source(module).is_some_and(|text| text.contains(&format!("fn {test}(")))
    })
}

/// Returns the source of a module: `src::cache::store` of the crate, or `race::order` of a test target.
fn source(module: &str) -> Option<String> {
    let path = module.replace("::", "/");
    let path = match path.starts_with("src/") {
        true => path,
        false => format!("tests/{path}"),
    };
    let files = ["", "/mod", "/main"].map(|end| root().join(format!("{path}{end}.rs")));
    files
        .into_iter()
        .find_map(|file| fs::read_to_string(file).ok())
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
