// Package simulation replays 30 days of pushes, new vulnerabilities, fixes, failures and changes of the kind of scanning, and holds what the feeds
// and the summary told against what truly happened: nothing is missed, and nothing is told twice. The world is drawn from a seed; the truth is
// a model of its own, which sees what the scans found and nothing of the service's code.
//
// A visit comes every six hours or so, and one before each look of a reader: readers store nothing.
//
// It measures no time, and it reads no more than a feed reader and a script can.
package simulation
