//! Reading a file while another process writes it.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

/// A file that grows, and may not exist yet.
#[derive(Debug)]
pub(super) struct Follow {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    /// The beginning of a line whose end hasn't been written yet.
    partial: Vec<u8>,
}

impl Follow {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            length: 0,
            partial: Vec::new(),
        }
    }

    fn open(&mut self) -> io::Result<Option<&mut File>> {
        if self.file.is_none() {
            self.file = match File::open(&self.path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
        }
        Ok(self.file.as_mut())
    }

    /// The whole lines that were written since the last call.
    pub(super) fn lines(&mut self) -> io::Result<Vec<String>> {
        let mut bytes = Vec::new();
        if let Some(file) = self.open()? {
            file.read_to_end(&mut bytes)?;
        }
        let mut lines = Vec::new();
        for byte in bytes {
            if byte == b'\n' {
                lines.push(String::from_utf8_lossy(&self.partial).into_owned());
                self.partial.clear();
            } else {
                self.partial.push(byte);
            }
        }
        Ok(lines)
    }

    /// Whether something was written since the last call.
    pub(super) fn grew(&mut self) -> io::Result<bool> {
        let length = match self.open()? {
            Some(file) => file.metadata()?.len(),
            None => 0,
        };
        let grew = length > self.length;
        self.length = length;
        Ok(grew)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn hands_out_whole_lines_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut follow = Follow::new(path.clone());
        assert!(follow.lines().unwrap().is_empty());
        assert!(!follow.grew().unwrap());
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(follow.lines().unwrap(), ["one"]);
        assert!(follow.grew().unwrap() && !follow.grew().unwrap());
        file.write_all(b"o\nthree\n").unwrap();
        assert_eq!(follow.lines().unwrap(), ["two", "three"]);
    }
}
