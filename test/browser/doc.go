// Package browser tests the pages in a real browser, Chromium. It follows links, uses the filters with the keyboard
// only, and checks accessibility with axe-core. A page must not write an error to the console or send a request to
// another host.
//
// It needs Debian's chromium, and axe-core in .tools/axe. .ci/run installs both. The package is only built with the
// tag browser. With the flag -screenshots it writes the screenshots in docs. With the flag -pictures it writes a picture
// of each page at each width into a folder.
package browser
