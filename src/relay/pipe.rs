//! Pipes that bytes are spliced through, and the pool that they come from.
//!
//! The kernel rations pipes by user, not by process or connection: past its ration an ordinary user's pipes shrink to
//! 8 KiB without a word. So there is one pool for the process, with a bound of its own, and every new pipe is asked
//! how large it became. A pipe is leased only while bytes are in flight. A lease that ends with the pipe empty gives
//! it back; with bytes in it, it is closed: what is left of one mail must never reach the next connection.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::{pipe2, read};
use parking_lot::Mutex;

/// A pipe smaller than this is worse than copying.
const WORTHWHILE: usize = 64 * 1024;

/// What one splice is asked to move at most. The pipe's room is the real bound; a limit past `isize::MAX` would be
/// EINVAL.
const MOST: usize = 1 << 20;

/// The process's pipes.
pub(super) static POOL: Pool = Pool::new();

/// Pipes that exist, and those of them that wait for use.
pub(super) struct Pool {
    #[expect(clippy::vec_box, reason = "leased as they are kept")]
    idle: Mutex<Vec<Box<Pipe>>>,
    live: AtomicUsize,
    limited: AtomicU64,
}

impl Pool {
    pub(super) const fn new() -> Self {
        Self { idle: Mutex::new(Vec::new()), live: AtomicUsize::new(0), limited: AtomicU64::new(0) }
    }

    /// Pipes that exist.
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// How often there was no pipe to be had.
    pub(super) fn limited(&self) -> u64 {
        self.limited.load(Ordering::Relaxed)
    }

    /// An empty pipe of `size` bytes, unless there are `max` already or the kernel gives none that is worthwhile.
    pub(super) fn lease(&'static self, size: usize, max: usize) -> Option<Lease> {
        let Some(pipe) = self.reuse(size).or_else(|| self.open(size, max)) else {
            if self.limited.fetch_add(1, Ordering::Relaxed) == 0 {
                let live = self.live();
                tracing::warn!(
                    live,
                    max,
                    "no pipe to be had (max_pipes, descriptors or the user's quota): copying"
                );
            }
            return None;
        };
        Some(Lease(Some(pipe)))
    }

    /// The pipe that was given back last, its pages still warm. One of another size, from before a reload, is closed.
    fn reuse(&self, size: usize) -> Option<Box<Pipe>> {
        loop {
            let pipe = self.idle.lock().pop()?;
            if pipe.asked == size {
                return Some(pipe);
            }
            self.close(pipe);
        }
    }

    fn open(&'static self, size: usize, max: usize) -> Option<Box<Pipe>> {
        let one_more = |live| (live < max).then_some(live + 1);
        self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        let pipe = Pipe::open(size, self);
        if pipe.is_none() {
            self.live.fetch_sub(1, Ordering::Relaxed);
        }
        pipe.map(Box::new)
    }

    fn close(&self, pipe: Box<Pipe>) {
        drop(pipe);
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    /// The size that it was opened with; the kernel rounds up.
    asked: usize,
    /// Bytes in it.
    held: usize,
    pool: &'static Pool,
}

impl Pipe {
    fn open(size: usize, pool: &'static Pool) -> Option<Self> {
        let (read, write) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).ok()?;
        // EPERM past the quota; what counts is what the pipe holds now.
        let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(i32::try_from(size).unwrap_or(i32::MAX)));
        let holds = fcntl(&write, FcntlArg::F_GETPIPE_SZ).ok()?;
        let is_worthwhile = usize::try_from(holds).ok()? >= size.min(WORTHWHILE);
        is_worthwhile.then_some(Self { read, write, asked: size, held: 0, pool })
    }
}

/// A pipe in use, which is there until the lease ends. Of one word: thousands of flows have room for it and use none.
pub(super) struct Lease(Option<Box<Pipe>>);

impl Lease {
    /// Whether every byte that went in has come out.
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|pipe| pipe.held == 0)
    }

    /// Splices from a socket into the empty pipe: how many bytes, 0 at the end of the stream.
    ///
    /// Of an empty pipe `WouldBlock` means the socket; of one that holds bytes it could mean either, so a pipe is
    /// never filled twice.
    pub(super) fn fill(&mut self, from: BorrowedFd<'_>) -> io::Result<usize> {
        debug_assert!(self.is_empty());
        let Some(pipe) = &mut self.0 else { return Ok(0) };
        let moved = retried(|| splice(from, None, &pipe.write, None, MOST, SpliceFFlags::SPLICE_F_NONBLOCK))?;
        pipe.held += moved;
        Ok(moved)
    }

    /// Splices from the pipe, which must hold something, into a socket: how many bytes.
    ///
    /// Never with SPLICE_F_MORE: it holds the last part of a message back for 200 ms, TCP_NODELAY or not.
    pub(super) fn drain(&mut self, to: BorrowedFd<'_>) -> io::Result<usize> {
        debug_assert!(!self.is_empty());
        let Some(pipe) = &mut self.0 else { return Ok(0) };
        let moved = retried(|| splice(&pipe.read, None, to, None, MOST, SpliceFFlags::SPLICE_F_NONBLOCK))?;
        pipe.held -= moved;
        Ok(moved)
    }

    /// Reads the pipe out, for a kernel that would splice into it and then not out of it.
    pub(super) fn salvage(mut self) -> io::Result<Vec<u8>> {
        let Some(pipe) = &mut self.0 else { return Ok(Vec::new()) };
        let mut bytes = vec![0; pipe.held];
        let mut at = 0;
        while let Some(rest) = bytes.get_mut(at..) {
            match retried(|| read(&pipe.read, rest))? {
                0 => break,
                read => {
                    at += read;
                    pipe.held -= read;
                }
            }
        }
        Ok(bytes)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(pipe) = self.0.take() else { return };
        let pool = pipe.pool;
        if pipe.held == 0 {
            pool.idle.lock().push(pipe);
        } else {
            pool.close(pipe);
        }
    }
}

fn retried<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            done => return done.map_err(io::Error::from),
        }
    }
}

/// Whether an error of splice says that splicing is not to be had here, rather than that a socket is broken: the
/// kernel or the kind of socket (EINVAL, ENOSYS, EOPNOTSUPP), or a system call filter (EPERM, EACCES).
pub(super) fn is_refusal(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EPERM | Errno::EACCES))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    const SIZE: usize = 128 * 1024;

    fn pool() -> &'static Pool {
        Box::leak(Box::new(Pool::new()))
    }

    /// A lease that holds `bytes`.
    fn filled(pool: &'static Pool, bytes: &[u8]) -> Lease {
        let (mut far, near) = UnixStream::pair().unwrap();
        far.write_all(bytes).unwrap();
        let mut lease = pool.lease(SIZE, 9).unwrap();
        assert_eq!(lease.fill(near.as_fd()).unwrap(), bytes.len());
        lease
    }

    #[test]
    fn an_empty_pipe_goes_back_and_is_taken_again() {
        let pool = pool();
        let mut lease = filled(pool, b"mail");
        let (mut far, near) = UnixStream::pair().unwrap();
        assert_eq!(lease.drain(near.as_fd()).unwrap(), 4);
        drop(lease);
        assert_eq!((pool.live(), pool.idle.lock().len()), (1, 1));

        let mut got = [0; 4];
        far.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"mail");

        let _lease = pool.lease(SIZE, 9).unwrap();
        assert_eq!((pool.live(), pool.idle.lock().len()), (1, 0));
    }

    #[test]
    fn a_pipe_with_residue_is_never_used_again() {
        let pool = pool();
        drop(filled(pool, b"what is left of one mail"));
        assert_eq!((pool.live(), pool.idle.lock().len()), (0, 0));
    }

    #[test]
    fn there_are_never_more_than_allowed() {
        let pool = pool();
        let leases: Vec<_> = (0..3).map(|_| pool.lease(SIZE, 3).unwrap()).collect();
        assert!(pool.lease(SIZE, 3).is_none());
        assert_eq!((pool.live(), pool.limited()), (3, 1));
        drop(leases);
        assert!(pool.lease(SIZE, 3).is_some());
        assert!(pool.lease(SIZE, 0).is_some(), "one that waits is no new one");
        assert_eq!(pool.live(), 3);
    }

    #[test]
    fn a_pipe_of_another_size_is_closed_when_it_comes_up() {
        let pool = pool();
        drop(pool.lease(SIZE, 9).unwrap());
        let lease = pool.lease(2 * SIZE, 1).unwrap();
        assert_eq!(pool.live(), 1);
        assert!(lease.0.as_ref().is_some_and(|pipe| pipe.asked == 2 * SIZE));
    }

    #[test]
    fn a_silent_socket_and_one_that_ended_differ() {
        let pool = pool();
        let (far, near) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut lease = pool.lease(SIZE, 9).unwrap();
        assert_eq!(lease.fill(near.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(far);
        assert_eq!(lease.fill(near.as_fd()).unwrap(), 0);
    }

    #[test]
    fn what_cannot_be_spliced_out_is_read_out() {
        let pool = pool();
        let bytes: Vec<u8> = (0..50_000u32).map(|n| n.to_le_bytes()[1]).collect();
        assert_eq!(filled(pool, &bytes).salvage().unwrap(), bytes);
        assert_eq!((pool.live(), pool.idle.lock().len()), (1, 1));
    }

    #[test]
    fn refusals_are_told_from_broken_sockets() {
        for errno in [Errno::EINVAL, Errno::ENOSYS, Errno::EPERM] {
            assert!(is_refusal(&errno.into()), "{errno}");
        }
        for errno in [Errno::ECONNRESET, Errno::EPIPE, Errno::ETIMEDOUT, Errno::EAGAIN] {
            assert!(!is_refusal(&errno.into()), "{errno}");
        }
    }
}
