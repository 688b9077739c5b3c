// Package lines writes the lines of a log to a file that may hang: a pipe that nobody reads, or
// a disk that does not answer. Whoever adds a line does not wait for the file.
//
// A [Queue] has one goroutine, which writes what has gathered meanwhile at once, so the order of
// the lines is kept, and a busy log costs few system calls. What a queue holds is bounded. A
// line for which there is no room is refused, and a line that could not be written is reported,
// so that it can be counted.
package lines
