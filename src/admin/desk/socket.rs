//! The socket's place in the file system: opened for its owner alone, and never stolen from another.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};
use parking_lot::Mutex;

/// Held by whoever has changed the mask of new files.
static MASK: Mutex<()> = Mutex::new(());

/// A listening socket and the file that leads to it.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode, to tell our file from one that another has put in its place.
    file: Option<(u64, u64)>,
}

/// Listens at `path`. A socket that somebody left there is replaced; one at which somebody answers, or a file of
/// another kind, is an error.
pub fn open(path: &Path) -> io::Result<Socket> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there")),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            Err(error) => return Err(error),
        },
    }
    // No moment in which the file is there and open to others. The mask is the whole process's.
    let _alone = MASK.lock();
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path);
    umask(before);
    let listener = bound?;
    listener.set_nonblocking(true)?;
    Ok(Socket::of(listener, path))
}

impl Socket {
    /// One that listens at `path` already.
    pub fn of(listener: UnixListener, path: &Path) -> Self {
        Self { listener, file: identity(path), path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another handle on it.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    /// Removes the file, if it still is ours: nobody answers there any more.
    pub fn remove(&self) {
        if self.file.is_some() && identity(&self.path) == self.file {
            // What is left behind is replaced by whoever comes next.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_behind_is_replaced_and_nobody_is_robbed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let first = open(&path).unwrap();
        assert_eq!(open(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        let second = open(&path).unwrap();
        second.remove();
        assert!(!path.exists());

        fs::write(&path, "precious").unwrap();
        assert_eq!(open(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        second.remove();
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
