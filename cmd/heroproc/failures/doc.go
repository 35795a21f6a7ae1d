// Package failures shows, with real daemons and real processes, what heroproc
// survives. It has only tests: each is named for a row of the failure table, such
// as TestFailure01_DaemonKilled, and the suite prints how many rows ran.
//
// HEROPROC_TORTURE multiplies the length of the long loops.
package failures
