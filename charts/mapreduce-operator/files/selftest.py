"""What `helm test` runs in a pod: waits until a MapReduceJob has finished, and tells how. Standard library only."""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
WITHIN_S = 300


def main(namespace, name):
    server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    url = f"{server}/apis/mapreduce.dev/v1alpha1/namespaces/{namespace}/mapreducejobs/{name}"
    trusted = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
    said, status = None, {}
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        with open(f"{ACCOUNT}/token") as token:
            request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token.read()}"})
        try:
            with urllib.request.urlopen(request, timeout=10, context=trusted) as answer:
                status = json.load(answer).get("status", {})
        except (urllib.error.URLError, OSError, ValueError) as error:
            status = {"message": f"no answer: {error}"}
        line = f"{status.get('state', 'no status yet')}: {status.get('message', '')}"
        if line != said:
            print(said := line, flush=True)
        conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
        if conditions.get("Finished", {}).get("status") == "True":
            if conditions.get("Complete", {}).get("status") == "True":
                print("The test job ran. Everything works.")
                return 0
            print("The test job failed:", conditions.get("Failed", {}).get("message", ""))
            return 1
        time.sleep(1)
    print(f"The test job did not end within {WITHIN_S} s; its conditions:")
    for condition in status.get("conditions", ()):
        print(f"  {condition['type']}={condition['status']} {condition.get('reason')}: {condition.get('message')}")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
