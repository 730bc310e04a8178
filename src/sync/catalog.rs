//! What is known: flags by environment, plans by scope, grants by token; and their publication.
//!
//! Everything that can fail happens before anything is replaced: a payload that cannot be compiled
//! leaves the catalog, and with it every reader, as it was.

mod log;

use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use tokio::sync::Notify;

use super::{
    arrival::{Arrival, BadPayload},
    figures::{Figures, Published},
    guard::guarded,
    priority,
};
use crate::{
    engine::{Compiler, Features, Host, Plan, Projects, Told, Warning},
    snapshot::{Claims, Definitions, Edition, Grant, Publisher},
    telemetry,
    token::{Kind, Scope, Token},
};

/// Which flags an environment's name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum World {
    /// All to the same: there is one upstream token, or one file.
    One,
    /// Each to its own.
    ByEnvironment,
}

/// Who delivers: the position of a source in the order in which payloads are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartId(usize);

/// Holds the last good state, and the only [`Publisher`].
// No `Debug`: it would print the tokens that are granted.
pub(super) struct Catalog {
    publisher: Publisher,
    world: World,
    /// One for each environment: flags of one name differ between them.
    compilers: AHashMap<Box<str>, Compiler>,
    host: Host,
    parts: Vec<Part>,
    /// The parts of each environment as one.
    merged: AHashMap<Box<str>, Arc<Features>>,
    plans: AHashMap<Scope, Arc<Plan>>,
    /// By environment, for each set of projects that a token may ask for the definitions of.
    definitions: AHashMap<Box<str>, AHashMap<Projects, Definitions>>,
    grants: AHashMap<Box<str>, (Kind, Scope)>,
    /// What was logged of the payloads that are current, by environment.
    warned: AHashMap<Box<str>, AHashSet<Warning>>,
    /// Of each environment that upstream can be asked for again.
    claims: AHashMap<Box<str>, Arc<Claims>>,
    /// Whether every source that will be needed is in `parts`.
    complete: bool,
    /// INVARIANT: once true, never false again.
    pub(super) ready: bool,
    figures: Arc<Figures>,
}

#[derive(Debug)]
struct Part {
    environment: Box<str>,
    delivered: Option<Delivered>,
}

#[derive(Clone, Debug)]
struct Delivered {
    features: Arc<Features>,
    warnings: Vec<Warning>,
}

/// One environment compiled anew, not yet in force.
struct Compiled {
    merged: Arc<Features>,
    plans: Vec<(Scope, Arc<Plan>)>,
    definitions: AHashMap<Projects, Definitions>,
    warnings: AHashSet<Warning>,
}

// === impl Catalog ===

impl Catalog {
    pub(super) fn new(publisher: Publisher, world: World, host: Host) -> Self {
        Self {
            publisher,
            world,
            compilers: AHashMap::new(),
            host,
            parts: Vec::new(),
            merged: AHashMap::new(),
            plans: AHashMap::new(),
            definitions: AHashMap::new(),
            grants: AHashMap::new(),
            warned: AHashMap::new(),
            claims: AHashMap::new(),
            complete: false,
            ready: false,
            figures: Arc::default(),
        }
    }

    /// The numbers, as others read them.
    pub(super) fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Makes room for a source of `environment`; readiness waits for it.
    pub(super) fn expect_part(&mut self, environment: &str) -> PartId {
        let environment = self.realm(environment).into();
        self.parts.push(Part { environment, delivered: None });
        PartId(self.parts.len() - 1)
    }

    /// What clients claim of `part`'s environment, shared by all its parts. From now on tags of its
    /// answers carry a revision. `bell` is rung when upstream is to be asked because of a claim.
    pub(super) fn hear_claims(&mut self, part: PartId, bell: &Arc<Notify>) -> Arc<Claims> {
        let environment = self.parts.get(part.0).map(|part| part.environment.clone());
        let claims = self.claims.entry(environment.unwrap_or_default());
        Arc::clone(claims.or_insert_with(|| Arc::new(Claims::new(Arc::clone(bell)))))
    }

    /// Says whether every source that will be needed was announced.
    pub(super) fn set_complete(&mut self, complete: bool) {
        self.complete = complete;
    }

    /// Whether a source for `environment` was announced, whether or not it delivered yet.
    pub(super) fn expects(&self, environment: &str) -> bool {
        self.parts.iter().any(|part| &*part.environment == self.realm(environment))
    }

    pub(super) fn grants(&self, token: &str) -> bool {
        self.grants.contains_key(token)
    }

    /// Parses and compiles `json` for every scope in use, and takes it in place of what `part`
    /// delivered before. Returns how many flags it holds. Nobody sees it before
    /// [`Catalog::publish`].
    ///
    /// # Errors
    /// When the payload is no good. Nothing was changed.
    pub(super) fn deliver(
        &mut self,
        part: PartId,
        json: impl AsRef<[u8]>,
    ) -> Result<usize, BadPayload> {
        self.reclaim();
        let previous = self.previous(part);
        let told = self.told();
        let read =
            guarded(|| Features::parse_as(told, json.as_ref(), &previous, priority::give_way));
        let read = read.ok_or(BadPayload::Panicked)??;
        // Compiling takes room of its own.
        drop((json, previous));
        self.take_in(part, read)
    }

    /// What is to take the next payload of `part`.
    pub(super) fn expect_payload(&mut self, part: PartId) -> Arrival {
        // What it takes need not come on top of what was published before.
        self.reclaim();
        // INVARIANT: what is told does not change once upstream is asked. One world's tokens are all
        // granted before, and many worlds tell everything.
        Arrival::after(self.previous(part), self.told())
    }

    /// What `part` delivered last.
    fn previous(&self, part: PartId) -> Arc<Features> {
        let delivered = self.parts.get(part.0).and_then(|part| part.delivered.as_ref());
        delivered.map(|delivered| Arc::clone(&delivered.features)).unwrap_or_default()
    }

    /// Compiles what came for every scope in use, as [`Catalog::deliver`] does.
    ///
    /// # Errors
    /// When our engine fails on it. Nothing was changed.
    pub(super) fn take_in(
        &mut self,
        part: PartId,
        (features, warnings): (Features, Vec<Warning>),
    ) -> Result<usize, BadPayload> {
        self.reclaim();
        let Some(slot) = self.parts.get(part.0) else { return Ok(0) };
        let environment = slot.environment.clone();
        let flags = features.len();
        let delivered = Delivered { features: Arc::new(features), warnings };
        let compiled = self.compile(&environment, part, &delivered).ok_or(BadPayload::Panicked)?;

        if let Some(slot) = self.parts.get_mut(part.0) {
            slot.delivered = Some(delivered);
        }
        let world = self.world;
        self.plans.retain(|scope, _| realm(world, &scope.environment) != &*environment);
        self.plans.extend(compiled.plans);
        self.definitions.insert(environment.clone(), compiled.definitions);
        self.merged.insert(environment.clone(), compiled.merged);
        // Once nobody holds the payload before any more.
        if let Some(compiler) = self.compilers.get_mut(&environment) {
            compiler.forget_unused();
        }
        log::warnings(self.warned.get(&environment), &compiled.warnings, &environment);
        self.warned.insert(environment, compiled.warnings);
        self.figures.updated();
        Ok(flags)
    }

    /// Frees what was published before and is in no reader's hands any more. To be called now and
    /// then.
    pub(super) fn reclaim(&mut self) {
        self.publisher.reclaim();
    }

    /// What may be asked for, now or later.
    fn told(&self) -> Told {
        // One world has the tokens it was configured with, many are joined by callers'.
        let may_grow = self.world == World::ByEnvironment;
        match may_grow || self.grants.values().any(|(kind, _)| kind.sees_definitions()) {
            true => Told::Definitions,
            false => Told::Answers,
        }
    }

    /// How many flags `json` holds.
    ///
    /// # Errors
    /// When the payload is no good.
    pub(super) fn count(json: &[u8]) -> Result<usize, BadPayload> {
        let nothing = Features::default();
        let parsed =
            guarded(|| Features::parse_as(Told::Answers, json, &nothing, priority::give_way));
        Ok(parsed.ok_or(BadPayload::Panicked)??.0.len())
    }

    /// Lets `token` in. Its plan is compiled, and its definitions are put together, if nobody else
    /// has them yet.
    pub(super) fn grant(&mut self, token: &Token, kind: Kind, scope: Scope) {
        let environment: Box<str> = self.realm(&scope.environment).into();
        if kind.sees_definitions()
            && let Some(features) = self.merged.get(&environment)
        {
            let known = self.definitions.entry(environment.clone()).or_default();
            match guarded(|| define(known, features, &scope.projects)) {
                Some(()) => {}
                None => tracing::error!("{}", BadPayload::Panicked),
            }
        }
        if let Some(features) = self.merged.get(&environment)
            && !self.plans.contains_key(&scope)
        {
            let compiler = compiler(&mut self.compilers, &self.host, &environment);
            // What outlives a panic in a compiler is its memory, and that takes in whole results only.
            match guarded(|| compiler.compile(features, &scope.projects)) {
                Some((plan, warnings)) => {
                    self.plans.insert(scope.clone(), Arc::new(plan));
                    let warnings = warnings.into_iter().collect();
                    log::warnings(self.warned.get(&environment), &warnings, &environment);
                    self.warned.entry(environment).or_default().extend(warnings);
                }
                None => tracing::error!("{}", BadPayload::Panicked),
            }
        }
        self.grants.insert(token.secret().into(), (kind, scope));
    }

    /// Lets `token` in no more.
    pub(super) fn revoke(&mut self, token: &Token) {
        self.grants.remove(token.secret());
    }

    /// Publishes all that was delivered, granted and revoked as one snapshot.
    pub(super) fn publish(&mut self) {
        let was_ready = self.ready;
        self.ready |= self.complete && self.parts.iter().all(|part| part.delivered.is_some());
        let revisions: AHashMap<&str, u64> = self
            .claims
            .keys()
            .filter_map(|environment| Some((&**environment, self.revision(environment)?)))
            .collect();
        let grants = self
            .grants
            .iter()
            .map(|(token, (kind, scope))| (token.clone(), self.open(*kind, scope, &revisions)));
        let grants = grants.collect();
        for (environment, claims) in &self.claims {
            // Before the snapshot: see `Claims::hear`.
            claims.know(revisions.get(&**environment).copied().unwrap_or_default());
        }
        let version = self.publisher.publish(grants, self.ready);
        self.figures.published(Published {
            version,
            ready: self.ready,
            flags: self.merged.values().map(|features| features.len()).sum(),
            warnings: self.warned.values().map(|warnings| warnings.len()).sum(),
            grants: self.grants.len(),
        });
        tracing::debug!(snapshot.version = version, ready = self.ready, "published");
        for (scope, plan) in &self.plans {
            log::plan(version, scope, plan);
        }
        if self.ready && !was_ready {
            tracing::info!(target: telemetry::START, "ready: evaluations work from now on");
        }
    }

    /// What a token of `kind` and `scope` sees now, at these revisions of the environments.
    fn open(&self, kind: Kind, scope: &Scope, revisions: &AHashMap<&str, u64>) -> Grant {
        let environment = self.realm(&scope.environment);
        let plan = self.plans.get(scope).cloned();
        let definitions = || self.definitions.get(environment)?.get(&scope.projects).cloned();
        let definitions = kind.sees_definitions().then(definitions).flatten();
        let edition = || {
            let (revision, claims) = (revisions.get(environment)?, self.claims.get(environment)?);
            Some(Edition::new(*revision, scope, Arc::clone(claims)))
        };
        Grant { kind, scope: scope.clone(), plan, definitions, edition: edition() }
    }

    fn realm<'a>(&self, environment: &'a str) -> &'a str {
        realm(self.world, environment)
    }

    /// How far the flags of `environment` are. `None` where a part has no revision, or none came.
    fn revision(&self, environment: &str) -> Option<u64> {
        let parts = self.parts.iter().filter(|part| &*part.environment == environment);
        let delivered = parts.filter_map(|part| part.delivered.as_ref());
        // The sum, and not the newest: where two tokens' polls come apart, that of the instance
        // which has both is greater than that of the one which has either.
        let sum = delivered
            .map(|it| it.features.revision())
            .try_fold(0, |sum: u64, revision| Some(sum.saturating_add(revision?)));
        sum.filter(|&sum| sum > 0)
    }

    /// Compiles `environment` as it will be when `part` has `delivered`.
    fn compile(&mut self, environment: &str, part: PartId, news: &Delivered) -> Option<Compiled> {
        let parts = self.parts.iter().enumerate().filter_map(|(at, it)| {
            let delivered = if at == part.0 { Some(news) } else { it.delivered.as_ref() };
            delivered.filter(|_| &*it.environment == environment)
        });
        let parts: Vec<&Delivered> = parts.collect();
        let merged = match parts.as_slice() {
            [only] => Arc::clone(&only.features),
            several => {
                Arc::new(guarded(|| Features::merge(several.iter().map(|it| &*it.features)))?)
            }
        };
        let mut warnings: AHashSet<Warning> =
            parts.iter().flat_map(|it| it.warnings.iter().cloned()).collect();
        let grants = self.grants.values();
        let grants = grants.filter(|(_, scope)| self.realm(&scope.environment) == environment);
        let mut definitions = AHashMap::new();
        for (_, scope) in grants.clone().filter(|(kind, _)| kind.sees_definitions()) {
            guarded(|| define(&mut definitions, &merged, &scope.projects))?;
        }
        let scopes: AHashSet<&Scope> = grants.map(|(_, scope)| scope).collect();
        let compiler = compiler(&mut self.compilers, &self.host, environment);
        let mut plans = Vec::with_capacity(scopes.len());
        for scope in scopes {
            let (plan, found) = guarded(|| compiler.compile(&merged, &scope.projects))?;
            warnings.extend(found);
            plans.push((scope.clone(), Arc::new(plan)));
        }
        Some(Compiled { merged, plans, definitions, warnings })
    }
}

/// The compiler of `environment`, which is new if nothing was compiled for it yet.
fn compiler<'a>(
    compilers: &'a mut AHashMap<Box<str>, Compiler>,
    host: &Host,
    environment: &str,
) -> &'a mut Compiler {
    compilers
        .entry(environment.into())
        .or_insert_with(|| Compiler::new(host.clone()).pausing(priority::give_way))
}

/// Puts the definitions of `projects` together, unless they are among those that are known.
fn define(known: &mut AHashMap<Projects, Definitions>, features: &Features, projects: &Projects) {
    if !known.contains_key(projects)
        && let Some(document) = features.definitions(projects)
    {
        known.insert(projects.clone(), Definitions::new(document));
    }
}

fn realm(world: World, environment: &str) -> &str {
    match world {
        World::One => "",
        World::ByEnvironment => environment,
    }
}
