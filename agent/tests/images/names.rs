//! A name server that knows one address.

use std::net::SocketAddr;

/// Answers every question for an IPv4 address with 127.0.0.1, and all others with nothing.
pub(crate) fn serve(at: SocketAddr) {
    let socket = std::net::UdpSocket::bind(at).expect("root may bind port 53");
    socket.set_nonblocking(true).unwrap();
    let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let _ = socket.send_to(&answer(&query[..length]), from).await;
        }
    });
}

fn answer(query: &[u8]) -> Vec<u8> {
    // The name ends with an empty label; type and class follow.
    let name = 12 + query[12..].iter().position(|byte| *byte == 0).expect("a name") + 1;
    let is_ipv4 = query[name..name + 2] == [0, 1];
    let mut answer = query[..2].to_vec();
    // A response to a standard query, recursion available; one question and at most one answer.
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0]);
    answer.extend(&query[12..name + 4]);
    if is_ipv4 {
        // The name of the question, IPv4, internet, 60 s, 4 bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    answer
}
