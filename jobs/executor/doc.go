// Package executor starts processes, is their parent, and outlives whoever
// asked for them.
//
// It has two sides. The executor ([Run]) is a process of its own: the hands. It
// holds the pipes of its children, writes their output, ends them when their
// time is over, and reaps them; it knows no database, no configuration and no
// policy. The [Client] is its other end, in the daemon: the brain, which may die
// and come back at any time.
//
// # What it promises
//
//   - Whatever happens to a process is an [Event], written to a journal before
//     anybody is told. A daemon that comes back says how far it got and is sent
//     the rest, once.
//   - An [Order] is carried out at most once: it has a token, and a token that is
//     known is not started again. The intent is in the journal before the process
//     exists, and the token is in the process's environment, so that a crash
//     between the two leaves a process that is found.
//   - An attempt is over when nothing is left of it. Its main process, its
//     process group, its cgroup, and whatever else carries its token have ended,
//     or the exit names who could not be ended.
//   - A pid is never believed. A process is known by its pid together with its
//     start time and the boot it lived in, and signalled through a pidfd.
//   - Children do not feel the executor: a defined environment, umask 022, no
//     signal ignored or blocked, no descriptor but the standard three.
//
// # How it works
//
// There is one event loop for each core: a goroutine on a thread of its own,
// with its own children, journal and log writer. An attempt belongs to one loop
// for ever, so the loops share nothing and lock nothing, and between the end of
// a process and the news of it nothing is handed over. A loop blocks only in
// epoll_wait; when nothing happens it costs nothing.
package executor
