//! A cluster of Redis: three masters that share the slots, and a replica of each, all as private servers.

use std::path::Path;

use anyhow::Context as _;
use pawl_rehearsal::private::{PrivateRedis, free_port};

use crate::{Redis, bounds, wait};

const MASTERS: usize = 3;

/// How many slots there are; a key's is a checksum of it.
const SLOTS: usize = 16_384;

/// A running cluster; dropping it stops its nodes.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters, as they were at the start, then the replica of each.
    pub nodes: Vec<PrivateRedis>,
}

impl RedisCluster {
    /// Starts the nodes in folders of `folder`, and waits until they agree.
    ///
    /// # Errors
    /// If a node does not start, or they do not come together.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut nodes = Vec::new();
        let mut ways = Vec::new();
        for number in 0..2 * MASTERS {
            let way = free_port()?.to_string();
            let options = [
                &["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1000"]
                    [..],
                &["--cluster-port", &way, "--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0"],
            ];
            nodes.push(PrivateRedis::start_with(&folder.join(format!("node-{number}")), &options.concat())?);
            ways.push(way);
        }
        let cluster = Self { nodes };
        for number in 0..MASTERS {
            let (first, last) = (number * SLOTS / MASTERS, (number + 1) * SLOTS / MASTERS - 1);
            cluster.tell(number, &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()])?;
        }
        for (node, way) in cluster.nodes.iter().zip(&ways).skip(1) {
            cluster.tell(0, &["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), way])?;
        }
        cluster.wait_until_whole()?;
        for number in 0..MASTERS {
            let master: String = cluster.at(number)?.command(&["CLUSTER", "MYID"])?;
            cluster.tell(MASTERS + number, &["CLUSTER", "REPLICATE", &master])?;
        }
        for number in MASTERS..2 * MASTERS {
            cluster.wait_until_it_follows(number)?;
        }
        cluster.wait_until_all_are_told()?;
        Ok(cluster)
    }

    /// Waits until each node tells clients of all, replicas too: they learn of each other by gossip.
    fn wait_until_all_are_told(&self) -> anyhow::Result<()> {
        let ports: Vec<i64> = self.nodes.iter().map(|node| node.port().into()).collect();
        wait::until_true(bounds::PROCESS, "each node to tell of all", || {
            let tells = |number: usize| {
                let told = format!("{:?}", self.at(number)?.command::<redis::Value>(&["CLUSTER", "SLOTS"])?);
                anyhow::Ok(ports.iter().all(|port| told.contains(&format!("int({port})"))))
            };
            Ok((0..self.nodes.len()).all(|number| tells(number).unwrap_or(false)))
        })
    }

    /// For `PAWL_REDIS_URL`: the node `number` alone.
    #[must_use]
    pub fn url(&self, number: usize) -> String {
        self.nodes[number].url()
    }

    /// Hands in a node.
    ///
    /// # Errors
    /// If its URL is not one.
    pub fn at(&self, number: usize) -> anyhow::Result<Redis> {
        Redis::new(&self.url(number))
    }

    /// The node that has a key, as far as the node `asked` knows.
    ///
    /// # Errors
    /// If it doesn't answer, or nobody has it.
    pub fn master_of(&self, key: &str, asked: usize) -> anyhow::Result<usize> {
        let asked = self.at(asked)?;
        let slot: u16 = asked.command(&["CLUSTER", "KEYSLOT", key])?;
        let nodes: String = asked.command(&["CLUSTER", "NODES"])?;
        let master =
            nodes.lines().find(|line| is_master_of(slot, line)).with_context(|| format!("nobody has {key}"))?;
        let number = self.nodes.iter().position(|node| master.contains(&format!(":{}@", node.port())));
        number.with_context(|| format!("this is no node of ours: {master}"))
    }

    /// Waits until all nodes that run know of all others, and that all slots are served.
    ///
    /// # Errors
    /// If it doesn't come to that.
    pub fn wait_until_whole(&self) -> anyhow::Result<()> {
        let all = format!("cluster_known_nodes:{}\r", self.nodes.len());
        wait::until_true(bounds::PROCESS, "the nodes to agree", || {
            let whole = |number| {
                let info: String = self.at(number)?.command(&["CLUSTER", "INFO"])?;
                anyhow::Ok(info.contains("cluster_state:ok") && info.contains(&all))
            };
            Ok((0..self.nodes.len()).all(|number| whole(number).unwrap_or(false)))
        })
    }

    /// Waits until a node is a replica that has all that its master has.
    ///
    /// # Errors
    /// If it doesn't come to that.
    pub fn wait_until_it_follows(&self, number: usize) -> anyhow::Result<()> {
        wait::until_true(bounds::PROCESS, "a replica to follow its master", || {
            let info = self.at(number)?.command::<String>(&["INFO", "replication"]).unwrap_or_default();
            Ok(info.contains("role:slave") && info.contains("master_link_status:up"))
        })
    }

    /// Sends a node a command.
    ///
    /// # Errors
    /// As Redis says.
    pub fn tell(&self, number: usize, words: &[&str]) -> anyhow::Result<()> {
        self.at(number)?.command::<redis::Value>(words).map(drop)
    }
}

/// A line of CLUSTER NODES: id, address, flags, five words of no interest, ranges of slots.
fn is_master_of(slot: u16, line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let has = |range: &&str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
    };
    words.len() > 8 && words[2].contains("master") && !words[2].contains("fail") && words[8..].iter().any(has)
}
