//! The new file's name, also where a file system has no `O_TMPFILE`.

use std::{fs, io::ErrorKind};

use crate::{
    draft::Draft,
    files::{directory, names},
};

#[test]
fn a_draft_has_no_name_until_it_is_published() {
    let dir = directory();
    let target = dir.path().join("target");
    for (contents, old) in [(b"new", None), (b"two", Some("new"))] {
        let draft = Draft::new(dir.path()).unwrap();
        assert!(
            matches!(draft, Draft::Unnamed(_)),
            "O_TMPFILE in the build directory"
        );
        std::io::Write::write_all(&mut buffered(&draft), contents).unwrap();
        assert_eq!(names(dir.path()).len(), usize::from(old.is_some()));
        draft.publish(&target).unwrap();
        assert_eq!(names(dir.path()), ["target"]);
        assert_eq!(fs::read(&target).unwrap(), contents);
    }
}

#[test]
fn a_named_draft_is_removed_or_published() {
    let dir = directory();
    let target = dir.path().join("target");
    drop(Draft::named(dir.path()).unwrap());
    assert_eq!(names(dir.path()).len(), 0);
    for contents in [b"new", b"two"] {
        let draft = Draft::named(dir.path()).unwrap();
        assert!(names(dir.path())[0].starts_with(".copy-"));
        std::io::Write::write_all(&mut buffered(&draft), contents).unwrap();
        draft.publish(&target).unwrap();
        assert_eq!(names(dir.path()), ["target"]);
        assert_eq!(fs::read(&target).unwrap(), contents);
    }
    // What can't be replaced leaves nothing behind either.
    let in_the_way = dir.path().join("directory");
    fs::create_dir(&in_the_way).unwrap();
    for draft in [Draft::named(dir.path()), Draft::new(dir.path())] {
        let error = draft.unwrap().publish(&in_the_way).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        assert_eq!(names(dir.path()), ["directory", "target"]);
    }
}

/// A handle whose writes need no alignment.
fn buffered(draft: &Draft) -> fs::File {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", draft.file().as_raw_fd());
    fs::File::options().write(true).open(path).unwrap()
}
