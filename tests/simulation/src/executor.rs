//! Runs futures in one thread, by a clock that only jumps. Which of those that are due at one moment comes first is chance
//! from the seed.
//!
//! Each task belongs to a process. A process may be killed (its tasks are dropped where they wait) or frozen (they go on
//! later, in the middle of whatever they did).

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::BinaryHeap,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use crate::random::Random;

/// A process; tasks of [`NOBODY`] are never killed or frozen.
pub(crate) type Owner = usize;
/// Clusters, brokers, and whoever brings the faults.
pub(crate) const NOBODY: Owner = 0;

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    work: Option<Work>,
    owner: Owner,
    /// Which appointment counts; older ones are void.
    appointment: u16,
}

/// When, by chance, which task, which appointment: in one number, from its greatest bits to its least.
type Due = Reverse<u128>;

fn due(at: u64, order: u32, place: usize, appointment: u16) -> Due {
    debug_assert!(place >> 16 == 0, "so many tasks at once");
    Reverse(u128::from(at) << 64 | u128::from(order) << 32 | (place as u128) << 16 | u128::from(appointment))
}

pub(crate) struct Executor {
    now: Cell<u64>,
    due: RefCell<BinaryHeap<Due>>,
    tasks: RefCell<Vec<Task>>,
    free: RefCell<Vec<usize>>,
    frozen_until: RefCell<Vec<u64>>,
    current: Cell<usize>,
    killed: Cell<bool>,
    wanted: Cell<u64>,
    order: Random,
    steps: Cell<u64>,
}

impl Executor {
    pub(crate) fn new(order: Random, owners: usize) -> Self {
        Self {
            now: Cell::new(0),
            due: RefCell::default(),
            tasks: RefCell::default(),
            free: RefCell::default(),
            frozen_until: RefCell::new(vec![0; owners]),
            current: Cell::new(usize::MAX),
            killed: Cell::new(false),
            wanted: Cell::new(u64::MAX),
            order,
            steps: Cell::new(0),
        }
    }

    /// Milliseconds since the beginning.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// How often a task went on.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.get()
    }

    pub(crate) fn spawn(&self, owner: Owner, work: impl Future<Output = ()> + 'static) {
        let task = Task { work: Some(Box::pin(work)), owner, appointment: 0 };
        let place = self.free.borrow_mut().pop();
        let mut tasks = self.tasks.borrow_mut();
        let place = match place {
            Some(place) => {
                let appointment = tasks[place].appointment.wrapping_add(1);
                tasks[place] = Task { appointment, ..task };
                place
            }
            None => {
                tasks.push(task);
                tasks.len() - 1
            }
        };
        let appointment = tasks[place].appointment;
        drop(tasks);
        self.at(self.now.get(), place, appointment);
    }

    fn at(&self, at: u64, place: usize, appointment: u16) {
        self.due.borrow_mut().push(due(at, self.order.next() as u32, place, appointment));
    }

    /// Lets the next task go on; `false` when there is none.
    pub(crate) fn step(&self) -> bool {
        loop {
            let Some(Reverse(due)) = self.due.borrow_mut().pop() else { return false };
            let (at, place, appointment) = ((due >> 64) as u64, (due >> 16) as u16 as usize, due as u16);
            let mut tasks = self.tasks.borrow_mut();
            let task = &mut tasks[place];
            if task.appointment != appointment || task.work.is_none() {
                continue;
            }
            self.now.set(self.now.get().max(at));
            let thaws = self.frozen_until.borrow()[task.owner];
            if thaws > at {
                drop(tasks);
                self.at(thaws, place, appointment);
                continue;
            }
            task.appointment = task.appointment.wrapping_add(1);
            let (Some(mut work), appointment) = (task.work.take(), task.appointment) else { continue };
            drop(tasks);
            self.current.set(place);
            self.killed.set(false);
            self.wanted.set(u64::MAX);
            self.steps.set(self.steps.get() + 1);
            let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            self.current.set(usize::MAX);
            if polled.is_ready() || self.killed.get() {
                drop(work);
                self.free.borrow_mut().push(place);
                return true;
            }
            self.tasks.borrow_mut()[place].work = Some(work);
            if self.wanted.get() != u64::MAX {
                self.at(self.wanted.get(), place, appointment);
            }
            return true;
        }
    }

    /// Ends all tasks of a process, where they are.
    pub(crate) fn kill(&self, owner: Owner) {
        let mut ended = Vec::new();
        for (place, task) in self.tasks.borrow_mut().iter_mut().enumerate() {
            if task.owner != owner {
                continue;
            }
            if let Some(work) = task.work.take() {
                ended.push(work);
                task.appointment = task.appointment.wrapping_add(1);
                self.free.borrow_mut().push(place);
            } else if self.current.get() == place {
                self.killed.set(true);
            }
        }
        self.frozen_until.borrow_mut()[owner] = 0;
        drop(ended);
    }

    pub(crate) fn freeze(&self, owner: Owner, until: u64) {
        self.frozen_until.borrow_mut()[owner] = until;
    }

    pub(crate) fn is_frozen(&self, owner: Owner) -> bool {
        self.frozen_until.borrow()[owner] > self.now.get()
    }

    pub(crate) fn sleep(self: &Rc<Self>, milliseconds: u64) -> Sleep {
        Sleep { executor: self.clone(), until: self.now.get().saturating_add(milliseconds) }
    }

    pub(crate) fn sleep_until(self: &Rc<Self>, until: u64) -> Sleep {
        Sleep { executor: self.clone(), until }
    }

    fn wake(&self, place: usize) {
        let appointment = self.tasks.borrow()[place].appointment;
        self.at(self.now.get(), place, appointment);
    }
}

pub(crate) struct Sleep {
    executor: Rc<Executor>,
    until: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let executor = &self.executor;
        if executor.now() >= self.until {
            return Poll::Ready(());
        }
        executor.wanted.set(executor.wanted.get().min(self.until));
        Poll::Pending
    }
}

/// One value on its way to one task.
pub(crate) struct Slot<T>(Rc<SlotState<T>>);

struct SlotState<T> {
    executor: Rc<Executor>,
    value: RefCell<Option<T>>,
    /// Place and appointment of the task that waits.
    waiter: Cell<Option<usize>>,
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Slot<T> {
    pub(crate) fn new(executor: &Rc<Executor>) -> Self {
        let executor = executor.clone();
        Self(Rc::new(SlotState { executor, value: RefCell::new(None), waiter: Cell::new(None) }))
    }

    pub(crate) fn put(&self, value: T) {
        *self.0.value.borrow_mut() = Some(value);
        if let Some(waiter) = self.0.waiter.take() {
            self.0.executor.wake(waiter);
        }
    }

    /// The value, once it is there; `None` when it is not by then.
    pub(crate) fn take_by(&self, until: u64) -> Taken<T> {
        Taken { slot: self.clone(), until }
    }
}

pub(crate) struct Taken<T> {
    slot: Slot<T>,
    until: u64,
}

impl<T> Future for Taken<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        let state = &self.slot.0;
        if let Some(value) = state.value.borrow_mut().take() {
            return Poll::Ready(Some(value));
        }
        let executor = &state.executor;
        if executor.now() >= self.until {
            return Poll::Ready(None);
        }
        state.waiter.set(Some(executor.current.get()));
        executor.wanted.set(executor.wanted.get().min(self.until));
        Poll::Pending
    }
}
