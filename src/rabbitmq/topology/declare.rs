//! Declares what is missing, and finds out what exists with other settings.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};

use super::{
    Scratch, Warning, judge_queue,
    shape::{Difference, Shape, difference},
};
use crate::rabbitmq::{
    Loss, Options, Part,
    connection::{ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, loss::CallError},
};

/// Limit of redeclarations: more than a queue has settings.
const LEARNED: usize = 40;

impl Scratch {
    /// What is known of the event queue after that.
    pub(super) async fn declare_all(&mut self, options: &Options) -> Result<Option<Shape>, Loss> {
        self.declare_exchange(Part::Exchange, options).await?;
        let queue = self.declare_queue(Part::Queue, options).await?;
        self.bind_queue(options).await?;
        self.declare_dead_letter_route(options).await?;
        Ok(queue)
    }

    pub(super) async fn bind_queue(&mut self, options: &Options) -> Result<(), Loss> {
        for key in &options.routing_keys {
            self.bind(Part::Queue, Part::Exchange, options, key).await?;
        }
        Ok(())
    }

    pub(crate) async fn declare_dead_letter_route(
        &mut self,
        options: &Options,
    ) -> Result<(), Loss> {
        let (queue, exchange) = (Part::DeadLetterQueue, Part::DeadLetterExchange);
        self.declare_exchange(exchange, options).await?;
        self.judge(queue, options, true).await?;
        // A fanout ignores the key; where the exchange was made as a topic, `#` takes all keys.
        self.bind(queue, exchange, options, "#").await
    }

    /// Finds out how a queue was declared and warns of differences. Fails if the queue cannot be used. Declares
    /// what is missing if `declare` is set.
    pub(super) async fn judge(
        &mut self,
        part: Part,
        options: &Options,
        declare: bool,
    ) -> Result<(), Loss> {
        let shape = match declare {
            true => self.declare_queue(part, options).await?,
            false => self.learn(part, options).await?,
        };
        if part == Part::Queue {
            return judge_queue(shape.as_ref(), options, &mut self.warnings).map(drop);
        }
        // A lossy dead-letter queue is used all the same: letters that may be lost some day are better than none.
        let losses = shape.map(|shape| shape.losses()).unwrap_or_default();
        if !losses.is_empty() {
            self.warnings.push(Warning::LosesMessages {
                part,
                name: options.name_of(part).to_owned(),
                how: losses.join("; "),
            });
        }
        Ok(())
    }

    /// Declares a queue and returns its settings, also if it exists with others. None: they are unknown.
    async fn declare_queue(
        &mut self,
        part: Part,
        options: &Options,
    ) -> Result<Option<Shape>, Loss> {
        let (name, wanted) = (options.name_of(part), Shape::wanted(part, options));
        match self.try_queue(name, &wanted, wanted.arguments()).await {
            Ok(()) => Ok(Some(wanted)),
            Err(error) if error.reply_code() == Some(PRECONDITION_FAILED) => {
                // Refused because it is there already, or because it cannot be made at all?
                match self.check_queue(part, options).await {
                    Err(Loss::Missing { .. }) => return Err(error.about(part, name)),
                    there => there?,
                };
                self.learn(part, options).await
            }
            Err(error) => Err(error.about(part, name)),
        }
    }

    /// The settings of an existing queue, and how they differ from the wanted ones. None if the broker does not
    /// reveal them.
    pub(super) async fn learn(
        &mut self,
        part: Part,
        options: &Options,
    ) -> Result<Option<Shape>, Loss> {
        let (name, wanted) = (options.name_of(part), Shape::wanted(part, options));
        let mut shape = wanted.clone();
        let mut known = false;
        for _ in 0..LEARNED {
            let arguments = shape.arguments_of_none();
            let Err(error) = self.try_queue(name, &shape, arguments).await else {
                known = true;
                break;
            };
            match error.reply() {
                Some((PRECONDITION_FAILED, text)) => {
                    let told = shape.adopt(text);
                    if !told || shape.is_a("stream") {
                        known = told;
                        break;
                    }
                }
                // Who may not declare is told nothing.
                Some((ACCESS_REFUSED, _)) => break,
                _ => return Err(error.about(part, name)),
            }
        }
        if part == Part::Queue && known && !self.leads_somewhere(&shape, options).await {
            shape.leads_nowhere();
        }
        let how = shape.differences(&wanted);
        let name = name.to_owned();
        if !known {
            self.warnings.push(Warning::SettingsUnknown { part, name });
            // What was told may be enough to refuse it.
            return Ok((!how.is_empty()).then_some(shape));
        }
        if !how.is_empty() {
            let how = how.join(", ");
            self.warnings.push(Warning::Differs { part, name, how });
        }
        Ok(Some(shape))
    }

    /// Whether the exchange to which the broker moves what it removes from the queue is there, as far as it tells.
    async fn leads_somewhere(&mut self, shape: &Shape, options: &Options) -> bool {
        let found = match shape.dead_letter_exchange() {
            Some(exchange) if exchange.is_empty() => {
                // The default exchange: a queue of this name.
                let Some(queue) = shape.dead_letter_routing_key() else {
                    return false;
                };
                let passive = QueueDeclareOptions {
                    passive: true,
                    ..QueueDeclareOptions::default()
                };
                let found = self.queue(&queue, passive, FieldTable::default()).await;
                found.map(drop)
            }
            Some(exchange) if exchange != options.dead_letter_exchange => {
                let passive = ExchangeDeclareOptions {
                    passive: true,
                    ..ExchangeDeclareOptions::default()
                };
                self.exchange(&exchange, ExchangeKind::Topic, passive).await
            }
            _ => return true,
        };
        found.map_or_else(|error| error.reply_code() != Some(NOT_FOUND), |()| true)
    }

    async fn try_queue(
        &mut self,
        name: &str,
        shape: &Shape,
        arguments: FieldTable,
    ) -> Result<(), CallError> {
        self.queue(name, shape.options(), arguments).await.map(drop)
    }

    pub(super) async fn declare_exchange(
        &mut self,
        part: Part,
        options: &Options,
    ) -> Result<(), Loss> {
        let kind = match part {
            // A letter keeps its routing key, and no key is ever unroutable.
            Part::DeadLetterExchange => ExchangeKind::Fanout,
            _ => ExchangeKind::Topic,
        };
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let name = options.name_of(part);
        let Err(error) = self.exchange(name, kind, durable).await else {
            return Ok(());
        };
        let Some((PRECONDITION_FAILED, text)) = error.reply() else {
            return Err(error.about(part, name));
        };
        self.warnings.push(Warning::Differs {
            part,
            name: name.to_owned(),
            how: match difference(text) {
                Some(Difference { name, current }) => match current {
                    Some((value, _)) => format!("{name} = {value}"),
                    None => format!("no {name}"),
                },
                None => "which ones the broker does not tell".to_owned(),
            },
        });
        Ok(())
    }

    async fn bind(
        &mut self,
        queue: Part,
        exchange: Part,
        options: &Options,
        key: &str,
    ) -> Result<(), Loss> {
        let (name, exchange) = (options.name_of(queue), options.name_of(exchange));
        self.call("queue.bind", async |channel: &Channel| {
            let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
            channel
                .queue_bind(name.into(), exchange.into(), key.into(), options, arguments)
                .await
        })
        .await
        .map_err(|error| error.about(queue, name))
    }
}
