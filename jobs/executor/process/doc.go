// Package process knows what Linux says about processes: which one a pid means,
// whom it belongs to, how to signal it without ever hitting another, and how it
// ended when it is nobody's child any more.
//
// A pid is a number that the kernel gives out again. Nothing here signals a
// stored pid: a process is named by its Identity, and signalled through a pidfd
// that was opened first and compared with the identity afterwards.
package process
