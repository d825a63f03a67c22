//! A private RabbitMQ node for a terminal or a script: prints its URL and its
//! folder, and is gone when standard input ends or this process does.

use std::io;

use testkit::rabbitmq::Node;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let node = Node::start().await?;
    println!("{}", node.url());
    println!("{}", node.folder().display());
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    Ok(())
}
