// Package simulation runs the service through days and weeks of a made-up registry, on a fake clock and without a socket, and holds what
// happened against what should have. It has tests and nothing else.
package simulation
