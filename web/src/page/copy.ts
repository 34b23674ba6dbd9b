// To the clipboard, and to a file. Without TLS browsers give no clipboard: then the old way is tried.

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyOldWay(text);
  }
}

function copyOldWay(text: string): boolean {
  const holder = document.createElement('textarea');
  holder.value = text;
  holder.className = 'unseen';
  // Inside an open dialog: it lets nothing outside have the focus.
  (document.querySelector('[role="dialog"]') ?? document.body).append(holder);
  holder.select();
  const done = document.execCommand('copy');
  holder.remove();
  return done;
}

export function saveText(text: string, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
}
