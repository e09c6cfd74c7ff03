// Asks Prometheus operator's schema about the PodMonitors on standard input, one JSON document a line.
//
//   node tests/podmonitors.mjs FOLDER      what tests/schemas has brought
//
// The schema lets unknown keys pass; what is on each level is therefore also looked up among the declared names.
import { readFileSync } from "node:fs";

const operator = `${process.argv[2]}/node_modules/@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1`;
const { PodMonitor } = await import(`${operator}/PodMonitor.js`);
const declared = (type) => {
  const names = readFileSync(`${operator}/${type}.d.ts`, "utf8").matchAll(/"(\w+)"\??:/g);
  return new Set([...names].map(([, name]) => name));
};
const known = { spec: declared("PodMonitorSpec"), endpoint: declared("PodMetricsEndpoint") };
const misspelt = (where, object) => {
  const unknown = Object.keys(object).filter((key) => !known[where].has(key));
  if (unknown.length) throw new Error(`no such key in ${where}: ${unknown}`);
};

for (const line of readFileSync(0, "utf8").trim().split("\n")) {
  const monitor = JSON.parse(line);
  new PodMonitor(monitor).validate();
  misspelt("spec", monitor.spec);
  monitor.spec.podMetricsEndpoints.forEach((endpoint) => misspelt("endpoint", endpoint));
  console.log(`${monitor.metadata.name} is a PodMonitor`);
}
