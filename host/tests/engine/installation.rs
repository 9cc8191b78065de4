//! An engine of a test's own, with what its installation grants, and names that lead where the test says.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use pawl_domain::limits::Limits;
use pawl_engine::in_memory::InMemory;
use pawl_engine::{Attempt, Config, Engine, Executed, Outside, Resolver};
use serde_json::{Value, json};

use crate::setup::{attempt, component, grants, limits, outside};

/// Where names lead: each time that one is asked for to the next place, at last always to the same. Others are asked of the
/// system.
#[derive(Debug, Default)]
pub struct Names {
    places: Mutex<HashMap<String, Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    pub fn lead(self, name: &str, places: &[&str]) -> Self {
        let places = places.iter().rev().map(|place| place.parse().expect("an address")).collect();
        self.places.lock().unwrap().insert(name.to_owned(), places);
        self
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolver for Names {
    fn addresses(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut places = self.places.lock().unwrap();
        let places = places.get_mut(name.trim_end_matches('.')).ok_or_else(|| std::io::Error::other("no such name"))?;
        let next = if places.len() > 1 { places.pop() } else { places.last().copied() };
        Ok(next.into_iter().collect())
    }
}

pub struct Installation {
    pub engine: Engine,
    pub names: Arc<Names>,
}

impl Installation {
    /// One that lets steps reach these beside what is public.
    pub fn granting(most: &[&str], names: Names) -> Self {
        Self::limited(limits(), outside(most), names)
    }

    pub fn limited(limits: Limits, outside: Outside, names: Names) -> Self {
        let names = Arc::new(names);
        let outside = Outside { resolver: names.clone(), ..outside };
        let config = Config { limits, slots: 1, outside, ..Config::default() };
        Self { engine: Engine::new(config).expect("the engine starts"), names }
    }

    /// Executes a step that is allowed these and makes these requests.
    pub fn fetch(&self, allow: &[&str], requests: &Value, memory: &Arc<InMemory>) -> Executed {
        let (digest, bytes) = component("fetch");
        let prepared = self.engine.prepare(digest, &bytes).expect("it is a component");
        let input = json!({ "requests": requests }).to_string();
        let attempt = Attempt { allow: Some(grants(allow)), ..attempt(&input, memory.history()) };
        self.engine.execute(&prepared, attempt, memory.clone())
    }

    /// The same with one request that only reads.
    pub fn get(&self, allow: &[&str], url: &str) -> Executed {
        self.fetch(allow, &json!([{ "url": url }]), &Arc::new(InMemory::default()))
    }
}
