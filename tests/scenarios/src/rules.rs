//! The rules, and faults that can be put into them.

/// A rule that is broken on purpose, to see that the simulation notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operator does not need the promises of the peers.
    PeersNotAsked,
    /// One promise fewer than half of the data pods will do.
    OneTooFew,
    /// Agents obey whatever term.
    TermIgnored,
    /// A confirmation counts from the answer instead of the question.
    ClockFromAnswer,
    /// A promise is forgotten when the agent restarts.
    PromiseForgotten,
    /// A promotion counts from its arrival instead of from the token.
    PromotionFromArrival,
    /// Nothing is written down before a promotion: the next leader goes by what agents remember that
    /// it hears.
    NothingWrittenDown,
    /// Promises count over the pods of today, whatever list the old primary has.
    ListOfToday,
    /// A list of data pods replaces a newer one that came before.
    ListsUnordered,
    /// A primary follows whenever it is told to, paused or not.
    FollowsUnpaused,
    /// A primary follows in any pause, also in that for another handover.
    AnyPause,
    /// An order to promote is carried out again although the server has ended since, with
    /// the same token.
    PromotedTwice,
    /// The operator does not note that the primary took another list or limit.
    ChangeUnnoted,
    /// A token is good although the server has started again since.
    TokenOutlivesServer,
    /// Another limit is set as for a new watch.
    LimitUnguarded,
    /// Any copy that runs is promoted.
    AnyCopy,
    /// The old primary is waited for as long as the spec says today, whatever it was told.
    LimitOfToday,
    /// One that goes by a list that is not written down is promoted.
    UnknownList,
    /// A server that its fence stopped is not started to see what its copy is worth.
    FencedForgotten,
    /// A server starts as what it was before.
    NoBootGuard,
    /// A peer does not note when it vouched.
    VouchUnnoted,
    /// A temporary claim goes with its pod, whoever leads.
    ClaimGoesEarly,
    /// Volumes of another object know no epoch.
    LineageForgotten,
    /// Nobody looks at whether a volume is full.
    FullLeads,
    /// What a scale-down left behind counts as what stayed.
    LeftForgotten,
    /// No pod is started for a claim beyond the wanted number, whatever stands on it.
    SparesForgotten,
}

/// The rules by which a world goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules(Option<Fault>);

impl Rules {
    /// With one fault.
    pub fn with(fault: Fault) -> Self {
        Self(Some(fault))
    }

    /// The fault that is in.
    pub(crate) fn fault(self) -> Option<Fault> {
        self.0
    }

    /// True if this fault is in.
    pub fn has(self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }
}
