//! The layout of requests and responses.

use std::num::NonZeroU32;

use crate::protocol::{BLOCK, Opcode, Request, Response, Size, Status};

#[test]
fn a_request_has_the_bytes_that_the_protocol_says() {
    let request = Request {
        id: 0x0102_0304_0506_0708,
        offset: 0x1112_1314_1516_1718,
        length: 0x2122_2324,
        opcode: Opcode::Write,
    };
    let bytes = [
        8, 7, 6, 5, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x24, 0x23, 0x22,
        0x21, 2, 0, 0, 0,
    ];
    assert_eq!(request.encode(), bytes);
    assert_eq!(Request::decode(&bytes), request);
    for (number, opcode) in [
        (1, Opcode::Read),
        (3, Opcode::Sync),
        (4, Opcode::Size),
        (0, Opcode::Unknown(0)),
        (5, Opcode::Unknown(5)),
    ] {
        let request = Request { opcode, ..request };
        assert_eq!(request.encode()[20], number);
        assert_eq!(Request::decode(&request.encode()), request);
    }
}

#[test]
fn a_response_has_the_bytes_that_the_protocol_says() {
    let good = Response {
        id: 0x0102_0304_0506_0708,
        result: Ok(0x2122_2324),
    };
    let bytes = [8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0x24, 0x23, 0x22, 0x21];
    assert_eq!(good.encode(), bytes);
    assert_eq!(Response::decode(&bytes), good);
    let bad = Response {
        id: 1,
        result: Err(Status(NonZeroU32::new(22).unwrap())),
    };
    let bytes = [1, 0, 0, 0, 0, 0, 0, 0, 22, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(bad.encode(), bytes);
    assert_eq!(Response::decode(&bytes), bad);
}

#[test]
fn what_is_no_errno_is_eio() {
    assert_eq!([22, 0, -1].map(|raw| Status::of(raw).0.get()), [22, 5, 5]);
}

#[test]
fn a_size_has_the_bytes_that_the_protocol_says() {
    let size = Size {
        bytes: 1 << 40,
        request: 1 << 20,
        block: BLOCK,
    };
    let bytes = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 16, 0, 0, 16, 0, 0];
    assert_eq!(size.encode(), bytes);
    assert_eq!(Size::decode(&bytes), size);
}
