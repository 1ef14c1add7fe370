// Package template tests that template.yaml agrees with the code: functions, routes, environment, permissions. It
// contains only tests. The tests in test/deployment deploy the template.
package template
