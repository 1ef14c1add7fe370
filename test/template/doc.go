// Package template holds the tests that template.yaml and the code agree: functions, routes, environment, permissions. It has no code of
// its own. That the template deploys and works is seen in test/deployment.
package template
