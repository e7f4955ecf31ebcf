use std::fs;

use super::super::tests::Folder;
use super::*;

const LONG_AGO: Duration = Duration::from_secs(60);

fn text(seen: &Seen<Vec<u8>>) -> Option<&str> {
    match &seen.content {
        Content::Read(text) => Some(str::from_utf8(text).unwrap()),
        Content::Absent | Content::Unreadable(_) => None,
    }
}

fn again(before: Option<&Seen<Vec<u8>>>, path: &Path, now: SystemTime) -> Seen<Vec<u8>> {
    Seen::again(before, path, 100, now, <[u8]>::to_vec)
}

/// Each change of a file changes the stamp, even if the times stay the same.
#[test]
fn a_stamp_tells_another_size_another_file_and_another_link() {
    let folder = Folder::new();
    let path = folder.path().join("file");
    let stamp = || Stamp::of(&path, SystemTime::now() + LONG_AGO);
    let is_new = |before: &Stamp| {
        let after = stamp();
        assert!(!after.is_current(before), "{before:?} {after:?}");
        assert!(stamp().is_current(&after), "{after:?}");
        after
    };
    let absent = stamp();
    assert_eq!(absent, Stamp::Absent);
    folder.write("file", "one");
    let one = is_new(&absent);
    folder.write("file", "longer");
    let longer = is_new(&one);
    folder.write("other", "other1");
    fs::rename(folder.path().join("other"), &path).unwrap();
    let renamed = is_new(&longer);
    fs::remove_file(&path).unwrap();
    is_new(&renamed);
}

#[cfg(unix)]
#[test]
fn a_stamp_follows_links() {
    let folder = Folder::new();
    let path = folder.path().join("link");
    let stamp = || Stamp::of(&path, SystemTime::now() + LONG_AGO);
    folder.write("one", "1");
    folder.write("two", "2");
    std::os::unix::fs::symlink("one", &path).unwrap();
    let one = stamp();
    folder.write("one", "longer");
    let longer = stamp();
    assert!(!longer.is_current(&one), "the target changed");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("two", &path).unwrap();
    assert!(!stamp().is_current(&longer), "the link has another target");
    fs::remove_file(folder.path().join("two")).unwrap();
    assert_eq!(stamp(), Stamp::Absent, "the link leads nowhere");
}

/// A second write within one tick of the file system's clock may change neither the size nor the times.
#[test]
fn a_file_that_was_written_just_now_is_read_once_more() {
    let folder = Folder::new();
    let path = folder.path().join("file");
    folder.write("file", "one");
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    let read = again(None, &path, written);
    assert!(!Stamp::of(&path, written + SETTLING).is_current(&read.stamp));
    let later = again(Some(&read), &path, written + SETTLING);
    assert!(Stamp::of(&path, written + LONG_AGO).is_current(&later.stamp));
}

#[test]
fn a_time_in_the_future_does_not_have_a_file_read_for_ever() {
    let folder = Folder::new();
    let path = folder.path().join("file");
    folder.write("file", "one");
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    let read = again(None, &path, yesterday);
    assert!(Stamp::of(&path, yesterday).is_current(&read.stamp));
}

#[test]
fn a_file_that_cannot_be_read_leaves_what_was_read_before() {
    let folder = Folder::new();
    let path = folder.path().join("file");
    let now = SystemTime::now() + LONG_AGO;
    folder.write("file", "one");
    let one = again(None, &path, now);
    assert_eq!(text(&one), Some("one"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let kept = again(Some(&one), &path, now);
    assert_eq!(text(&kept), Some("one"), "a folder is no file");
    assert!(
        !Stamp::of(&path, now).is_current(&kept.stamp),
        "it is tried again"
    );
    fs::remove_dir(&path).unwrap();
    folder.write("file", &"long".repeat(26));
    let kept = again(Some(&kept), &path, now);
    assert_eq!(text(&kept), Some("one"), "104 bytes are more than 100");
    folder.write("file", "two");
    let two = again(Some(&kept), &path, now);
    assert_eq!(text(&two), Some("two"));
    fs::remove_file(&path).unwrap();
    assert_eq!(again(Some(&two), &path, now).content, Content::Absent);
}

#[test]
fn a_file_that_was_never_read_tells_why() {
    let folder = Folder::new();
    let seen = again(None, folder.path(), SystemTime::now());
    let Content::Unreadable(reason) = seen.content else {
        panic!("a folder was read");
    };
    assert!(
        reason.ends_with("cannot be read: it is no regular file"),
        "{reason}"
    );
}
