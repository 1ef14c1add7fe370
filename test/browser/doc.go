// Package browser reads the pages with a real browser, Chromium: on the local server it follows their links and filters them with the keyboard
// alone, and with axe-core it looks for what would keep someone out. No page may write an error to the console or ask another host for anything.
//
// It needs Debian's chromium, and axe-core in .tools/axe, where .ci/run puts it, and is only built with the tag browser; .ci/run runs it. With the
// flag -screenshots it writes the pictures in docs anew.
package browser
