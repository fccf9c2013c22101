//! Who may connect.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
};

use crate::{common::texts, server::Server};

const OTHER: u32 = 12_345;

/// Makes a path accessible for all users.
fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Reads a file as another user, who can reach the socket and open the file. Returns what is
/// printed to standard output and to standard error.
fn read_as_other(server: &Server) -> (String, String) {
    let path = server.file("file");
    fs::write(&path, "data").unwrap();
    open_to_all(path.parent().unwrap(), 0o755);
    open_to_all(&path, 0o644);
    open_to_all(&server.socket(), 0o666);
    // The other user may not be able to reach the build directory.
    let program = server.file("program");
    let mut command = server.run("read", &path);
    fs::copy(command.get_program(), &program).unwrap();
    open_to_all(&program, 0o755);
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = std::process::Command::new(program);
    texts(
        &command
            .args(arguments)
            .uid(OTHER)
            .gid(OTHER)
            .output()
            .unwrap(),
    )
}

#[test]
fn another_user_is_refused_unless_the_server_allows_it() {
    if !rustix::process::geteuid().is_root() {
        println!("this test needs root, to run a program as another user");
        return;
    }
    let server = Server::start(&[]);
    let (out, errors) = read_as_other(&server);
    assert_eq!(out, "");
    assert!(
        errors.contains("user 12345 may not use this server"),
        "{errors}"
    );
    server.await_rest();

    let server = Server::start(&["--allow-uid", "12345"]);
    assert_eq!(read_as_other(&server).0, "data");
    // The server's own user can connect too.
    server.client();
}
