// Package api answers on the daemon's unix socket.
//
// It speaks HTTP: POST /rpc takes JSON-RPC 2.0 requests, GET /logs streams
// output, GET /health tells whether the daemon has recovered. What it answers
// comes from the floor below, through the interface [Runs]; this package knows
// no SQL and no process.
//
// # The way of a call
//
//	socket → connections → route → envelope → method → Runs
//	(who?)   (how many?)           (JSON-RPC)  (typed)
//
// [Methods] is the one table of what can be called: the dispatcher looks names
// up in it, and whatever describes the API is made from it. Each noun has a file
// of its own with its part of the table and its handlers.
//
// # What is bounded
//
// The size of a request, the length of a batch, the number of connections, the
// number of calls that wait, the time a client may take to send and to read, the
// time a call may take: see [Limits]. Reaching one gives a clear answer and ends
// nobody else's call. Neither does a panic in a handler: it is that call's error.
//
// Errors are translated to codes in one place, errors.go.
package api
