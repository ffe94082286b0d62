//! A file that the task appends lines to, read while it grows.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use crate::workspace;

/// Read at once. A task that writes more than this between two looks is read for as long as it takes.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Read at the end, at most: what a task wrote in its last second is less.
pub(crate) const READS_AT_END: usize = 16 * 1024 * 1024 / READ_BYTES;

/// A longer line is none that anybody asked for.
pub(crate) const LINE_BYTES: usize = 16 * 1024;

/// How far a file was read.
pub(crate) struct Tail {
    path: PathBuf,
    offset: u64,
    lines: Lines,
}

/// What of it is not yet a line.
#[derive(Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    /// The rest of it is passed over.
    is_overlong: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overlong;

/// A line without its end.
pub(crate) type Line<'a> = Result<&'a [u8], Overlong>;

impl Tail {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, offset: 0, lines: Lines::default() }
    }

    /// Reads on, and says whether there was something. Empty lines are none.
    pub(crate) fn read(&mut self, each: impl FnMut(Line<'_>)) -> io::Result<bool> {
        let mut file: File = match workspace::open(&self.path, OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(err) => return Err(err),
        };
        // Emptied, or another file: it begins anew.
        if file.metadata()?.len() < self.offset {
            (self.offset, self.lines) = (0, Lines::default());
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut buffer = vec![0; READ_BYTES];
        let read = file.read(&mut buffer)?;
        self.offset += read as u64;
        self.lines.add(&buffer[..read], each);
        Ok(read > 0)
    }

    /// A last line without its end counts too.
    pub(crate) fn end(&mut self, each: impl FnMut(Line<'_>)) {
        self.lines.end(each);
    }
}

impl Lines {
    pub(crate) fn add(&mut self, bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            self.is_overlong |= self.line.len() + text.len() > LINE_BYTES;
            if !self.is_overlong {
                self.line.extend_from_slice(text);
            }
            if ended {
                self.end(&mut each);
            }
        }
    }

    pub(crate) fn end(&mut self, mut each: impl FnMut(Line<'_>)) {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.is_overlong) {
            each(Err(Overlong));
        } else if !line.trim_ascii().is_empty() {
            each(Ok(&line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read now: the lines, and what could not be read.
    fn read(tail: &mut Tail) -> io::Result<String> {
        let mut lines = String::new();
        tail.read(|line| {
            lines.push_str(&String::from_utf8_lossy(line.unwrap_or(b"overlong")));
            lines.push(';');
        })?;
        Ok(lines)
    }

    #[test]
    fn a_file_is_read_once_and_links_and_pipes_never() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut tail = Tail::new(path.clone());
        assert_eq!(read(&mut tail).unwrap(), "");
        std::fs::write(&path, "one\n\nt").unwrap();
        assert_eq!(read(&mut tail).unwrap(), "one;");
        assert_eq!(read(&mut tail).unwrap(), "");
        std::fs::write(&path, "one\n\ntwo\n").unwrap();
        assert_eq!(read(&mut tail).unwrap(), "two;");
        std::fs::write(&path, "three\n").unwrap();
        assert_eq!(read(&mut tail).unwrap(), "three;");
        std::fs::write(&path, format!("{}\nfour\nlast", "x".repeat(2 * LINE_BYTES))).unwrap();
        assert_eq!(read(&mut tail).unwrap(), "overlong;four;");
        let mut last = Vec::new();
        tail.end(|line| last.extend_from_slice(line.unwrap()));
        assert_eq!(last, b"last");

        std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(read(&mut tail).is_err());
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert!(read(&mut tail).is_err());
    }
}
