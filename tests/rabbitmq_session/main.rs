//! Broker sessions against a real RabbitMQ: what they promise through every kind of loss.

mod causes;
mod connecting;
mod consuming;
mod deliveries;
mod harness;
mod letters;
mod limits;
mod losses;
mod lossy;
mod publishing;
mod tls;
mod topology;
