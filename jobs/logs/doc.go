// Package logs keeps what attempts print: a [Writer] inside an executor loop
// writes it, a [Reader] in the daemon reads and follows it, and a [Janitor]
// keeps the whole of it below a limit. The three share nothing but files.
//
// # Format
//
// A log is text in the CRI format, one record a line, with the attempt's id as a
// further tag:
//
//	2026-11-23T15:04:05.000000000Z stdout F:1234 hello
//
// The tag F says that the record ends a line of output. P says that the line
// goes on in the next record of the same stream: lines are split at 16 KiB. When
// a stream ends without a newline its last record stays P, so F is exactly a
// newline that was printed, and the text of a stream's records put together
// again ([Line.AppendRaw]) is what was printed, byte for byte, NUL, carriage
// return and invalid UTF-8 included. The third stream, heroproc, has sentences by
// heroproc itself, such as "dropped 512 bytes: ...".
//
// # Segments
//
// A file for each short job was measured to cost more than the job. So attempts
// begin in segments shared by all attempts of an executor loop, and one that
// writes much or lives long goes on in segments of its own:
//
//	shared/EPOCH-NUMBER.log
//	own/ID÷1000/ID/OFFSET.log
//
// A [Place], kept with the attempt, says where its shared part lies. An own
// segment is named by the number of the attempt's output bytes that were logged
// before it. So what a budget has deleted is told from names and sizes, and is
// stored nowhere else: where a segment begins later than the one before it ends,
// the reader shows a "dropped" sentence.
//
// # What is promised
//
// What [Writer.Flush] has written survives the death of every process; it is not
// fsynced, so a power cut may take the end. A record that such an end cut short is
// read as a partial line, never as an error. Writing never blocks on and never
// fails its caller because of the disk: what cannot be written is dropped,
// counted, and announced in the log as soon as there is room again.
package logs
