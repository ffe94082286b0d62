//! Random bytes straight from the kernel: a static program finds no `getrandom` of a C library by name, and an image may
//! have no `/dev`.

use std::io;

use rustix::rand::GetRandomFlags;

pub(crate) fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    const { assert!(N <= 256, "as many come at once") };
    let mut bytes = [0; N];
    loop {
        match rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            Err(err) => return Err(err.into()),
            Ok(_) => return Ok(bytes),
        }
    }
}
