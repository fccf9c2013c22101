//! `put` and `get`: a client that copies from standard input, or to standard output.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    args::{Get, Put},
    client::Client,
    protocol::{Opcode, Request, Size, Status},
};

/// How many requests are sent before the response to the first of them is awaited.
const AHEAD: u64 = 16;

pub(crate) fn put(args: &Put) -> Result<()> {
    let (mut client, size) = connect(args.address)?;
    let mut input = io::stdin().lock();
    let mut offset = args.offset;
    let (mut sent, mut answered) = (0, 0);
    loop {
        let mut data = Vec::new();
        input
            .by_ref()
            .take(u64::from(size.request))
            .read_to_end(&mut data)
            .context("standard input")?;
        if data.is_empty() {
            break;
        }
        data.resize(data.len().next_multiple_of(size.block as usize), 0);
        let length = u32::try_from(data.len())?;
        if sent - answered == AHEAD {
            receive(&mut client)?;
            answered += 1;
        }
        client.send(&request(Opcode::Write, offset, length), &data)?;
        sent += 1;
        offset += u64::from(length);
    }
    for _ in answered..sent {
        receive(&mut client)?;
    }
    client.send(&request(Opcode::Sync, 0, 0), &[])?;
    receive(&mut client)?;
    Ok(())
}

pub(crate) fn get(args: &Get) -> Result<()> {
    let (mut client, size) = connect(args.address)?;
    let end = args
        .offset
        .checked_add(args.length)
        .context("no file is as long as that")?;
    let mut output = io::stdout().lock();
    let mut offset = args.offset;
    // One at a time: responses come in any order, but the output has one.
    while offset < end {
        let length = u64::from(size.request).min(end - offset);
        client.send(&request(Opcode::Read, offset, u32::try_from(length)?), &[])?;
        output.write_all(&receive(&mut client)?)?;
        offset += length;
    }
    output.flush()?;
    Ok(())
}

fn connect(address: SocketAddr) -> Result<(Client, Size)> {
    let mut client = Client::connect(address).with_context(|| address.to_string())?;
    client.send(&request(Opcode::Size, 0, 0), &[])?;
    let data = receive(&mut client)?;
    let size = data.as_slice().try_into().context("the server's size")?;
    let size = Size::decode(size);
    ensure!(
        size.block > 0 && size.request >= size.block,
        "the server's block size is {}, and its longest request {}",
        size.block,
        size.request
    );
    Ok((client, size))
}

fn receive(client: &mut Client) -> Result<Vec<u8>> {
    match client.receive().context("the server's response")?.result {
        Ok(data) => Ok(data),
        Err(Status(errno)) => {
            bail!(io::Error::from_raw_os_error(i32::try_from(errno.get())?))
        }
    }
}

fn request(opcode: Opcode, offset: u64, length: u32) -> Request {
    Request {
        id: 0,
        offset,
        length,
        opcode,
    }
}
