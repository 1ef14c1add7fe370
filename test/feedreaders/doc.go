// Package feedreaders reads the feeds with real feed readers, over HTTP: each must keep every entry, show nothing as unread after a scan that found
// nothing new, and one entry after a scan that found one thing. They also import the list of feeds, and a validator sees every variant.
//
// It needs Debian's newsboat, sfeed, rss2email, python3-feedparser and jing, and is only built with the tag feedreaders; .ci/run runs it.
package feedreaders
