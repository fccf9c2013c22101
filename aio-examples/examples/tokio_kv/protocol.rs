//! What clients and the server say to each other: lines, with the bytes of keys and values behind.
//!
//! | request | bytes behind | answer |
//! |---|---|---|
//! | `put KEY_LEN VALUE_LEN` | key, value | `ok` |
//! | `get KEY_LEN` | key | `value LEN` and the value, or `none` |
//! | `delete KEY_LEN` | key | `ok`, or `none` if there was no such key |
//! | `list` | | `key LEN` and the key, for each key; then `end` |
//! | `compact` | | `ok` |
//!
//! If something fails, the answer is `error`, a space and the reason. A client may send the next
//! request before it has the answer. The answers come in the order of the requests.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt};

use crate::store::format::{KEY_MAX, VALUE_MAX};

/// No request's line is longer.
const LINE: u64 = 64;

#[derive(Debug)]
pub(crate) enum Request {
    Put(Box<[u8]>, Box<[u8]>),
    Get(Box<[u8]>),
    Delete(Box<[u8]>),
    List,
    Compact,
    /// It can't be told where the next request begins.
    Bad(&'static str),
}

/// Reads a request, or `None` when the client is done.
pub(crate) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if (&mut *from).take(LINE).read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let Some(line) = line.strip_suffix('\n') else {
        return Ok(Some(Request::Bad("the line doesn't end")));
    };
    let words: Vec<&str> = line.split(' ').collect();
    let key = |len: &str| number(len, 1, KEY_MAX).ok_or("a key has 1 to 1024 bytes");
    let value = |len: &str| number(len, 0, VALUE_MAX).ok_or("a value has at most 1048576 bytes");
    let request = match words[..] {
        ["put", key_len, value_len] => match (key(key_len), value(value_len)) {
            (Ok(key), Ok(value)) => {
                Request::Put(bytes(from, key).await?, bytes(from, value).await?)
            }
            (Err(error), _) | (_, Err(error)) => Request::Bad(error),
        },
        ["get", len] => match key(len) {
            Ok(len) => Request::Get(bytes(from, len).await?),
            Err(error) => Request::Bad(error),
        },
        ["delete", len] => match key(len) {
            Ok(len) => Request::Delete(bytes(from, len).await?),
            Err(error) => Request::Bad(error),
        },
        ["list"] => Request::List,
        ["compact"] => Request::Compact,
        _ => Request::Bad("there is no such request"),
    };
    Ok(Some(request))
}

fn number(word: &str, least: usize, most: usize) -> Option<usize> {
    let number = word.parse().ok()?;
    (least..=most).contains(&number).then_some(number)
}

async fn bytes(from: &mut (impl AsyncRead + Unpin), len: usize) -> io::Result<Box<[u8]>> {
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).await?;
    Ok(bytes.into())
}
