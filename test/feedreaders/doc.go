// Package feedreaders reads the feeds over HTTP with real feed readers. Each reader must keep every entry. After a
// scan without new findings, nothing must be unread; after a scan with one new finding, one entry must be unread.
// The readers also import the list of feeds. A validator checks every variant of the feeds.
//
// It needs Debian's newsboat, sfeed, rss2email, python3-feedparser and jing, and rss-parser and feedparser of npm. It is
// only built with the tag feedreaders; .ci/run installs the packages and runs it.
package feedreaders
