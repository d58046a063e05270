//! The decision. Pure: who asks brings the measurements.

use std::fmt;

/// What a cluster takes once it runs. A k8s cluster was measured at 400 MiB, with its syncer; the others take
/// less.
const MEMORY_OF_CLUSTER: u64 = 400 << 20;

/// What is left to everything else on the machine.
const MEMORY_LEFT: u64 = 256 << 20;

/// So many tasks per processor want to run when a machine is overrun. Two starts on two processors are less.
const BUSY_LOAD: f64 = 5.0;

/// The load is of the last minute. This is of now: the share of time, in percent, in which something waited
/// for a processor.
const BUSY_PRESSURE: f64 = 80.0;

/// What the machine has now, whoever else is using it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Memory that can still be had, in bytes, within all limits; `None` when nobody knows.
    pub memory: Option<u64>,
    /// How many processors this process may use.
    pub processors: usize,
    /// Tasks that wanted to run during the last minute.
    pub load: Option<f64>,
    /// In percent, how much of the last ten seconds something waited for a processor.
    pub pressure: Option<f64>,
}

/// The clusters of all tests that were let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Occupancy {
    /// Those that are starting: they have not taken their memory yet.
    pub starting: usize,
    /// Those that have started.
    pub running: usize,
}

/// What the user says instead of the measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// How many clusters may start at a time.
    pub starts: Option<usize>,
    /// How many clusters there may be at a time.
    pub clusters: Option<usize>,
}

/// May the first of the queue go on?
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Yes.
    Enter,
    /// Not yet.
    Wait(Reason),
}

/// What a test waits for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// Tests that came before it.
    Turn {
        /// How many.
        ahead: usize,
    },
    /// The end of other starts.
    Starts {
        /// How many there are.
        starting: usize,
        /// How many may be.
        limit: usize,
        /// Are the processors so busy that there may be only one?
        busy: bool,
    },
    /// The end of other clusters.
    Clusters {
        /// How many there are.
        there: usize,
        /// How many may be.
        limit: usize,
    },
    /// Memory.
    Memory {
        /// What can be had, in bytes, less what those that start will take.
        free: u64,
        /// What is needed.
        needed: u64,
    },
}

/// Decides for the first of the queue, which wants this many clusters.
///
/// When there is no cluster yet it may always go on: whatever is missing, nothing of ours will give it back.
pub fn decide(wanted: usize, there: Occupancy, limits: Limits, machine: &Machine) -> Decision {
    if there == Occupancy::default() {
        return Decision::Enter;
    }
    let reason = clusters(wanted, there, limits, machine)
        .or_else(|| starts(wanted, there.starting, limits, machine));
    reason.map_or(Decision::Enter, Decision::Wait)
}

fn clusters(wanted: usize, there: Occupancy, limits: Limits, machine: &Machine) -> Option<Reason> {
    let all = there.starting + there.running;
    if let Some(limit) = limits.clusters {
        return (all + wanted > limit).then_some(Reason::Clusters { there: all, limit });
    }
    let free = machine.memory?.saturating_sub(memory_of(there.starting));
    let needed = memory_of(wanted).saturating_add(MEMORY_LEFT);
    (free < needed).then_some(Reason::Memory { free, needed })
}

/// Starts are what the processors are for; running clusters hardly need them.
fn starts(wanted: usize, starting: usize, limits: Limits, machine: &Machine) -> Option<Reason> {
    let busy = limits.starts.is_none() && is_busy(machine);
    let limit = match limits.starts {
        Some(limit) => limit,
        None if busy => 1,
        // A start also waits for the disk and for others.
        None => machine.processors.max(1) + 1,
    };
    (starting > 0 && starting + wanted > limit).then_some(Reason::Starts {
        starting,
        limit,
        busy,
    })
}

fn is_busy(machine: &Machine) -> bool {
    let processors = u32::try_from(machine.processors.max(1)).unwrap_or(u32::MAX);
    let is_loaded = |load| load > BUSY_LOAD * f64::from(processors);
    let is_pressed = |pressure| pressure > BUSY_PRESSURE;
    // A kernel that does not tell of pressure leaves it to the load.
    machine.load.is_some_and(is_loaded) && machine.pressure.is_none_or(is_pressed)
}

fn memory_of(clusters: usize) -> u64 {
    MEMORY_OF_CLUSTER.saturating_mul(u64::try_from(clusters).unwrap_or(u64::MAX))
}

impl Reason {
    /// Is it waited for the same thing as before, though numbers may differ?
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turn { ahead: 1 } => f.write_str("its turn, after 1 other test"),
            Self::Turn { ahead } => write!(f, "its turn, after {ahead} other tests"),
            Self::Starts {
                starting,
                limit,
                busy,
            } => {
                let why = if *busy {
                    ", as the processors are busy"
                } else {
                    ""
                };
                write!(
                    f,
                    "processors: {starting} clusters start and {limit} may{why}"
                )
            }
            Self::Clusters { there, limit } => {
                write!(f, "other clusters to end: there are {there} of {limit}")
            }
            Self::Memory { free, needed } => write!(
                f,
                "memory: {} MiB can be had and {} MiB are needed",
                free >> 20,
                needed >> 20
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Two idle processors and 8 GiB.
    const IDLE: Machine = Machine {
        memory: Some(8 << 30),
        processors: 2,
        load: Some(0.1),
        pressure: Some(0.0),
    };

    const UNLIMITED: Limits = Limits {
        starts: None,
        clusters: None,
    };

    fn limits(starts: Option<usize>, clusters: Option<usize>) -> Limits {
        Limits { starts, clusters }
    }

    fn there(starting: usize, running: usize) -> Occupancy {
        Occupancy { starting, running }
    }

    fn memory(mebibytes: u64) -> Machine {
        Machine {
            memory: Some(mebibytes << 20),
            ..IDLE
        }
    }

    fn busy(pressure: Option<f64>, load: Option<f64>) -> Machine {
        Machine {
            load,
            pressure,
            ..IDLE
        }
    }

    fn waits_for(starting: usize, limit: usize, busy: bool) -> Decision {
        Decision::Wait(Reason::Starts {
            starting,
            limit,
            busy,
        })
    }

    #[rstest]
    #[case::an_idle_machine(1, there(1, 5), UNLIMITED, IDLE, Decision::Enter)]
    #[case::as_many_as_processors_and_one(1, there(3, 0), UNLIMITED, IDLE, waits_for(3, 3, false))]
    #[case::two_at_once(2, there(2, 0), UNLIMITED, IDLE, waits_for(2, 3, false))]
    #[case::more_at_once_than_ever_may(9, there(0, 1), UNLIMITED, IDLE, Decision::Enter)]
    #[case::an_overrun_machine(
        1,
        there(1, 0),
        UNLIMITED,
        busy(Some(90.0), Some(11.0)),
        waits_for(1, 1, true)
    )]
    #[case::overrun_by_others_alone(
        1,
        there(0, 3),
        UNLIMITED,
        busy(Some(90.0), Some(11.0)),
        Decision::Enter
    )]
    #[case::no_longer_overrun(
        1,
        there(1, 0),
        UNLIMITED,
        busy(Some(10.0), Some(11.0)),
        Decision::Enter
    )]
    #[case::a_moment_of_pressure(
        1,
        there(1, 0),
        UNLIMITED,
        busy(Some(90.0), Some(9.0)),
        Decision::Enter
    )]
    #[case::load_alone_is_known(
        1,
        there(1, 0),
        UNLIMITED,
        busy(None, Some(11.0)),
        waits_for(1, 1, true)
    )]
    #[case::nothing_is_known(1, there(1, 0), UNLIMITED, busy(None, None), Decision::Enter)]
    #[case::the_user_says_more(
        1,
        there(5, 0),
        limits(Some(8), None),
        busy(Some(99.0), Some(99.0)),
        Decision::Enter
    )]
    #[case::the_user_says_less(1, there(1, 0), limits(Some(1), None), IDLE, waits_for(1, 1, false))]
    #[case::enough_memory(1, there(0, 9), UNLIMITED, memory(656), Decision::Enter)]
    #[case::too_little(1, there(0, 9), UNLIMITED, memory(655), Decision::Wait(Reason::Memory { free: 655 << 20, needed: 656 << 20 }))]
    #[case::what_starts_will_take_its_own(1, there(1, 0), UNLIMITED, memory(1055), Decision::Wait(Reason::Memory { free: 655 << 20, needed: 656 << 20 }))]
    #[case::two_need_more(2, there(0, 1), UNLIMITED, memory(1055), Decision::Wait(Reason::Memory { free: 1055 << 20, needed: 1056 << 20 }))]
    #[case::the_user_knows_of_more_memory(
        1,
        there(0, 3),
        limits(None, Some(4)),
        memory(0),
        Decision::Enter
    )]
    #[case::the_user_says_when_it_is_full(1, there(1, 3), limits(None, Some(4)), IDLE, Decision::Wait(Reason::Clusters { there: 4, limit: 4 }))]
    #[case::the_first_always(9, there(0, 0), limits(Some(1), Some(1)), memory(0), Decision::Enter)]
    fn the_first_of_the_queue(
        #[case] wanted: usize,
        #[case] there: Occupancy,
        #[case] limits: Limits,
        #[case] machine: Machine,
        #[case] expected: Decision,
    ) {
        assert_eq!(decide(wanted, there, limits, &machine), expected);
    }

    #[test]
    fn an_unknown_memory_is_no_reason_to_wait() {
        let machine = Machine {
            memory: None,
            ..IDLE
        };
        assert_eq!(
            decide(1, there(0, 50), UNLIMITED, &machine),
            Decision::Enter
        );
    }

    #[rstest]
    #[case(Reason::Turn { ahead: 2 }, "its turn, after 2 other tests")]
    #[case(Reason::Starts { starting: 1, limit: 1, busy: true }, "processors: 1 clusters start and 1 may, as the processors are busy")]
    #[case(Reason::Memory { free: 5 << 20, needed: 7 << 20 }, "memory: 5 MiB can be had and 7 MiB are needed")]
    fn a_reason_is_told(#[case] reason: Reason, #[case] text: &str) {
        assert_eq!(reason.to_string(), text);
    }
}
