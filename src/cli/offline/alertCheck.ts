import { requireUsable } from '../../audit/alerts/evaluation.ts';
import type { AlertSettings } from '../../client/index.ts';
import { checkAlerts } from '../../command/checkAlerts.ts';
import { readAlertFile } from '../audit/alertFile.ts';

/** The alert rules of a file that a cluster would take. @throws HoldfastError as readAlertFile, INVALID_ARGUMENT naming the field */
export function checkedAlertFile(path: string): AlertSettings {
  const settings = readAlertFile(path);
  const problem = checkAlerts(settings);
  if (problem !== null) throw problem;
  requireUsable(settings.rules);
  return settings;
}
